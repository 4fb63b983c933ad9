"""A pipeline for units that take a beat less often than every cycle.

Stages never stop: a beat goes through one every cycle, and what has come out waits in a queue. The unit takes
a beat once ``interval`` cycles have passed since the last and fewer than ``capacity`` are inside, one that leaves
in this cycle not counted; so the queue, which is as long, has room for all. That is the Contract with a fixed
``latency`` (the number of stages), a fixed ``interval`` and ``turnaround = 0``. The head of the queue is the output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal, Value

from siloom.rtl.elastic import Stage, Values, elastic
from siloom.rtl.hold import hold
from siloom.sim.contract import fixed


def paced(m: Module, twin: Any, stages: Sequence[Stage]) -> None:
    """Build the pipeline from ``twin.i`` to ``twin.o`` into ``m``; stages are those of ``elastic``.

    What a stage remembers in its own cycle may be read ``interval - 1`` stages before it, or later.
    """
    leaves = Signal()
    _admit(m, twin, leaves)
    values: Values = {name: getattr(twin.i.p, name) for name in twin.i.p.shape().members}
    moves = Signal(name="moves1")
    m.d.comb += moves.eq(twin.i.valid & twin.i.ready)
    for number, stage in enumerate(stages[:-1], 1):
        values = {name: hold(m, value, f"{name}{number}") for name, value in stage(m, values, moves).items()}
        earlier, moves = moves, Signal(name=f"moves{number + 1}")
        m.d.sync += moves.eq(earlier)
    _queue(m, twin, dict(stages[-1](m, values, moves)), moves, leaves)


def pipeline(m: Module, twin: Any, stages: Sequence[Stage]) -> None:
    """The pipeline of a Contract with fixed cycles: an elastic one where a beat may come in every cycle."""
    (elastic if fixed(twin.contract.interval) == 1 else paced)(m, twin, stages)


def _admit(m: Module, twin: Any, leaves: Value) -> None:
    """Drive ``i.ready``: by a count of the beats inside, and of cycles since the last was taken."""
    interval, capacity = fixed(twin.contract.interval), twin.contract.capacity
    takes, inside, pause = Signal(), Signal(range(capacity + 1)), Signal(range(interval))
    m.d.comb += [
        twin.i.ready.eq(~pause.any() & ((inside != capacity) | leaves)),
        takes.eq(twin.i.valid & twin.i.ready),
    ]
    m.d.sync += inside.eq(inside + takes - leaves)
    with m.If(takes):
        m.d.sync += pause.eq(interval - 1)
    with m.Elif(pause.any()):
        m.d.sync += pause.eq(pause - 1)


def _queue(m: Module, twin: Any, values: dict[str, Any], arrives: Value, leaves: Signal) -> None:
    """Results in order, the head at the output; one leaves a cycle, with or without anybody taking it."""
    capacity = twin.contract.capacity
    gives = Value.cast(values.pop("gives", 1))
    result: Any = Signal(twin.o.p.shape())
    m.d.comb += [getattr(result, name).eq(value) for name, value in values.items()]
    full = Signal(capacity)
    given = Signal(capacity)
    held = [twin.o.p, *[_like(result, f"held{place}") for place in range(1, capacity)]]
    m.d.comb += [
        twin.o.valid.eq(full[0] & given[0]),
        leaves.eq(full[0] & (~given[0] | twin.o.ready)),
    ]
    stays = Signal(capacity)  # the places that are full if nothing arrives
    m.d.comb += stays.eq(Mux(leaves, full >> 1, full))
    for place in range(capacity):
        enters = arrives & ~stays[place] & (stays[place - 1] if place else Const(1))
        behind = place + 1 if place + 1 < capacity else place
        m.d.sync += full[place].eq(stays[place] | enters)
        with m.If(enters):
            m.d.sync += [held[place].eq(result), given[place].eq(gives)]
        with m.Elif(leaves):
            m.d.sync += [held[place].eq(held[behind]), given[place].eq(given[behind])]


def _like(result: Any, name: str) -> Any:
    return Signal(result.shape(), name=name, reset_less=True)
