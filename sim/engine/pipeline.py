"""Items through a tandem of stages with finite queues: in-order valid/ready pipelines.

``slots[s]`` FIFO places lie between stage s and stage s + 1, the stage's own register not counted.
With service times t, item i leaves stage s at::

    D[i, s] = max(max(D[i, s-1], D[i-1, s]) + t[i, s], D[i-slots[s]-1, s+1])

It starts when it has come and the item before it has left, works for t cycles, and then waits in its
stage until there is room behind it. A place that is given up can be taken in the same cycle (ready is
combinational), and a service of 0 cycles passes through at once. Exact for such pipelines, in one
pass over the items.

The last stage is never held up. A unit of latency L that starts an item each cycle is L stages of
one cycle, not one stage of L. No item overtakes another, and none branches off.

Source: the recurrence of tandem queues with production blocking (Altiok and Stidham 1982, recalled).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from siloom.sim.engine.cycles import CyclesLike, Ints, as_cycles, exact_sum, require_below
from siloom.sim.jit import inline_kernel, kernel
from siloom.sim.ops import MAX_COUNT

UNBOUNDED = MAX_COUNT - 1
"""As many queue places as any run has items."""


@dataclass(frozen=True, eq=False)
class PipelineRun:
    """When every item left every stage, and what each stage did with the cycles.

    ``departures`` is [items, stages]. ``busy``, ``starved`` and ``blocked`` are [stages] and add up
    to ``makespan`` in each stage: at work; empty, before the first item and after the last included;
    finished but without room behind.
    """

    departures: Ints
    makespan: int
    busy: Ints
    starved: Ints
    blocked: Ints


@inline_kernel
def departure(arrived: int, previous_left: int, service: int, room: int) -> int:
    """When one item leaves one stage; ``room`` is when the place behind became free.

    The engine's one step, for kernels of machines whose service times come from their own state.
    """
    return max(max(arrived, previous_left) + service, room)


@kernel
def _run(service: Ints, slots: Ints, arrivals: Ints, departures: Ints, spent: Ints) -> None:
    """Fill ``departures`` [items, stages] and ``spent`` [3, stages] (busy, starved, blocked)."""
    items, stages = service.shape
    for i in range(items):
        arrived = arrivals[i]
        for s in range(stages):
            previous = departures[i - 1, s] if i > 0 else 0
            room = 0
            if s + 1 < stages and i > slots[s]:
                room = departures[i - slots[s] - 1, s + 1]
            left = departure(arrived, previous, service[i, s], room)
            waited = max(arrived - previous, 0)
            spent[0, s] += service[i, s]
            spent[1, s] += waited
            spent[2, s] += left - previous - waited - service[i, s]
            departures[i, s] = left
            arrived = left


def run_pipeline(service: CyclesLike, slots: CyclesLike, arrivals: CyclesLike | None = None) -> PipelineRun:
    """Send items through the stages in order.

    Args:
        service: cycles of item i in stage s, [items, stages], at least one stage.
        slots: queue places between stage s and s + 1, [stages - 1].
        arrivals: cycle at which each item is offered to the first stage, [items]; default all at 0.

    Raises:
        InputError: another shape, a negative number, no whole number, or cycles that may reach 2^62.
    """
    times, places, offered = _checked(service, slots, arrivals)
    require_below("pipeline", most_makespan(times, offered), MAX_COUNT)
    items, stages = times.shape
    departures = np.empty((items, stages), np.int64)
    spent = np.zeros((3, stages), np.int64)
    _run(times, places, offered, departures, spent)
    makespan = int(departures[-1, -1]) if items else 0
    if items:
        spent[1] += makespan - departures[-1]
    return PipelineRun(departures, makespan, *spent)


def run_unbounded(service: CyclesLike, arrivals: CyclesLike | None = None) -> PipelineRun:
    """The null version: queues without end, so that no stage is ever blocked."""
    times = as_cycles("pipeline: service", service, (None, None))
    return run_pipeline(times, np.full(max(times.shape[1] - 1, 0), UNBOUNDED), arrivals)


def least_makespan(service: Ints, arrivals: Ints | None = None) -> int:
    """Closed form: no queues, however long, can make the run shorter.

    For each stage: the first item to come takes at least the least time that any item needs to get
    there, then the stage has all its work to do, then its last item has the rest of its way to go.
    And each item needs its own time from arrival to the end.
    """
    items, stages = service.shape
    if items == 0:
        return 0
    offered = np.zeros(items, np.int64) if arrivals is None else arrivals
    before = np.cumsum(service, axis=1) - service + offered[:, None]
    after = service.sum(axis=1)[:, None] - np.cumsum(service, axis=1)
    stage_bound = max(
        int(before[:, s].min()) + exact_sum(service[:, s]) + int(after[:, s].min()) for s in range(stages)
    )
    return max(stage_bound, int((before[:, 0] + service.sum(axis=1)).max()))


def most_makespan(service: Ints, arrivals: Ints) -> int:
    """Closed form: the last arrival, then every item alone from end to end."""
    return (int(arrivals.max()) if len(arrivals) else 0) + exact_sum(service)


def constant_makespan(items: int, service: tuple[int, ...]) -> int:
    """Closed form for stages of constant service: fill, then one item per slowest stage's time.

    Holds for queues of any length, none included.
    """
    return sum(service) + (items - 1) * max(service) if items else 0


def _checked(service: CyclesLike, slots: CyclesLike, arrivals: CyclesLike | None) -> tuple[Ints, Ints, Ints]:
    times = as_cycles("pipeline: service", service, (None, None))
    items, stages = times.shape
    if stages == 0:
        as_cycles("pipeline: service", times, (None, 1))
    places = as_cycles("pipeline: slots", slots, (stages - 1,))
    offered = np.zeros(items, np.int64) if arrivals is None else as_cycles("pipeline: arrivals", arrivals, (items,))
    return times, places, offered
