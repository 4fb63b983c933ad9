"""The interface of a machine, and how a whole workload is run on one.

A machine is a class in one file: here in ``models/``, in a user's own ``./my_machine.py``, or behind
an entry point in the group ``siloom.machines``. It is made of a frozen Design and is asked two
things, by the front door and by exploration alike:

- ``supports(op)``: could ``run`` take this operation? Cheap; never raises.
- ``run(op, values=...)``: what happens. Deterministic for equal design and operation (a measured
  machine excepted), no output, no files, nothing global touched. With ``values`` it also returns
  what was computed where it can.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from siloom.sim.design import Design
from siloom.sim.errors import InfeasibleError
from siloom.sim.link import Link
from siloom.sim.ops import Item, Operation, Workload
from siloom.sim.result import Phase, Result


@dataclass(frozen=True)
class Bound:
    """Of many designs: ``seconds`` that no run is below, and ``area_mm2``, None where it has no closed form."""

    seconds: Any
    area_mm2: Any = None


Columns = Any
"""A design's fields as attributes; see :meth:`Machine.bound`."""


class Machine(ABC):
    """One machine: its name, its design and how it runs an operation.

    ``kind`` groups machines for readers (accelerator, gpu, cpu, fpga); ``operations`` names the
    operation types it may support; ``variants`` gives further names as settings of the same design.
    ``summary`` is one line with the source. ``bound_one_by_one`` names fields of numbers by which tables are read, so
    that :meth:`bound` takes one value of them at a time. ``ends_apart`` says that the ``first`` or the ``last``
    operation of a run costs other than the same between its like; where it is repeated, its first or last repetition
    is then an item of its own in :meth:`run_in_order`, so that a repeated operation costs what it does written out.
    """

    name: ClassVar[str]
    kind: ClassVar[str]
    summary: ClassVar[str]
    operations: ClassVar[tuple[type[Operation], ...]]
    design_type: ClassVar[type[Design]]
    variants: ClassVar[Mapping[str, Mapping[str, object]]] = {}
    bound_one_by_one: ClassVar[tuple[str, ...]] = ()
    ends_apart: ClassVar[tuple[str, ...]] = ()

    def __init__(self, design: Design | None = None, label: str | None = None) -> None:
        """Take a design (default: the published one) and the name results are shown under."""
        self.design = design if design is not None else self.design_type()
        self.label = label or self.name

    def supports(self, op: Operation) -> bool:
        """Whether ``run`` takes this operation."""
        return isinstance(op, self.operations)

    def needs(self, op: Operation) -> str:
        """What an operation of a supported type would have to be like, where ``supports`` says no; empty if unknown."""
        return ""

    @abstractmethod
    def run(self, op: Operation, *, values: bool = False) -> Result:
        """Run one operation.

        Raises:
            InputError: operands that this machine refuses (with the field and the rule).
            InfeasibleError: a design that cannot exist.
        """

    def bound(self, op: Operation, columns: Columns) -> Bound | None:
        """The least seconds that ``op`` takes, in closed form, on many designs at once; None where there is no form.

        ``columns`` has this design's fields, each one value or an array of one for each design (texts, truths and
        ``bound_one_by_one`` are one value). Exploration looks at very many designs by it before it runs any: the form
        must hold as a bound of ``run``, and should order designs as ``run`` does.
        """
        return None

    def run_in_order(self, items: Sequence[Item], *, values: bool = False) -> Sequence[Result]:
        """One result for each of a workload's operations, of a single repetition, in their order.

        What ``run`` says of each alone. A machine whose operations overlap with their neighbours
        (weights fetched ahead, inputs that come from a host) overrides this, and gives each operation
        its share of the whole; it must agree with ``run`` on a single operation.
        """
        return [self.run(item.op, values=values) for item in items]

    def run_whole(self, workload: Workload) -> Result | None:
        """What is defined on a whole workload and on nothing smaller; None, as a rule: run its operations.

        For the convention of a paper that, say, adds up layers of which it reads one head each. Asked first, where
        every operation is supported and none is left out; names, coverage and provenance are filled in afterwards.

        Raises:
            InputError: a workload on which the convention is not defined.
        """
        return None


TRANSFER = "transfer"
"""The kind of a result's rows that are no operations: what goes over a link."""


def unsupported_row(item: Item, total_flops: int) -> dict[str, Any]:
    """How an operation that was not run is listed in a result."""
    flops = item.op.flops * item.repeat
    return {
        "name": item.op.name or item.op.kind,
        "kind": item.op.kind,
        "repeat": item.repeat,
        "flops_share": flops / total_flops if total_flops else 0.0,
    }


def run_workload(
    machine: Machine,
    workload: Workload,
    *,
    rest: Machine | None = None,
    link: Link | None = None,
    values: bool = False,
    only: frozenset[int] | None = None,
) -> Result:
    """Run every operation that ``machine`` supports, the others on ``rest`` if given.

    Where both run some, operands and results cross ``link`` (:mod:`siloom.sim.link`); with None that is not charged.
    ``only`` limits the run to items at those positions, which is how machines are compared on the
    operations that all of them support.

    Raises:
        InfeasibleError: no operation of the workload is supported.
    """
    total_flops = workload.flops
    provenance = {"workload_hash": workload.content_hash, "source": dict(workload.provenance)}
    if only is None or only.issuperset(range(len(workload.items))):
        whole = _whole(machine, workload, provenance)
        if whole is not None:
            return whole
    chosen: list[tuple[Item, Machine]] = []
    missing: list[dict[str, Any]] = []
    for position, item in enumerate(workload.items):
        if only is not None and position not in only:
            continue
        runner = machine if machine.supports(item.op) else rest if rest and rest.supports(item.op) else None
        if runner is None:
            missing.append(unsupported_row(item, total_flops))
        else:
            chosen.append((item, runner))
    parts = _results(chosen, values)
    if not parts:
        kinds = sorted({item.op.kind for item in workload.items})
        can = ", ".join(sorted(op.__name__ for op in machine.operations))
        of_type = [item.op for item in workload.items if isinstance(item.op, machine.operations)]
        asked = next((text for text in map(machine.needs, of_type) if text), f"it runs {can}")
        raise InfeasibleError(f"{machine.label}: supports none of {', '.join(kinds)}; {asked}")
    covered = sum(item.op.flops * item.repeat for item, _, _ in parts)
    coverage = {
        "operations": len(chosen) / (len(chosen) + len(missing)),
        "flops": covered / total_flops if total_flops and only is None else 1.0,
    }
    if len(parts) == 1 and parts[0][0].repeat == 1:
        only_part = parts[0][2]
        return replace(
            only_part,
            machine=machine.label,
            workload=workload.name,
            coverage=coverage,
            unsupported=missing,
            provenance={**only_part.provenance, **provenance},
        )
    notes = _memory_notes(machine, workload)
    if rest is not None and link is not None and {id(runner) for _, runner, _ in parts} == {id(machine), id(rest)}:
        home, away = (rest, machine) if link.design.home == "rest" else (machine, rest)
        parts = _with_transfers(parts, away, link)
        provenance["link"] = {"name": link.label, **link.design.as_dict()}
        notes = (*notes, _link_note(home, away, link))
    whole = _combine(machine, workload.name, parts, coverage, missing, provenance)
    return replace(whole, notes=(*notes, *whole.notes))


Part = tuple[Item, Machine | Link, Result]
"""An operation, on which machine it ran or over which link it went, and the result of one repetition."""


def _with_transfers(parts: Sequence[Part], away: Machine, link: Link) -> list[Part]:
    """The parts, and after each that ran ``away`` from home its transfers."""
    out: list[Part] = []
    for item, runner, result in parts:
        out.append((item, runner, result))
        if runner is away:
            out.append((item, link, link.transfer(item.op)))
    return out


def _link_note(home: Machine, away: Machine, link: Link) -> str:
    return (
        f"data are held by {home.label}: operands of each operation on {away.label} come over {link.label} and its "
        "results go back, without overlap"
    )


def _whole(machine: Machine, workload: Workload, provenance: Mapping[str, Any]) -> Result | None:
    """The result of a machine that takes the workload as one, if it does and supports all of it."""
    if not workload.items or not all(machine.supports(item.op) for item in workload.items):
        return None
    result = machine.run_whole(workload)
    if result is None:
        return None
    return replace(
        result,
        machine=machine.label,
        workload=workload.name,
        coverage={"operations": 1.0, "flops": 1.0},
        unsupported=(),
        provenance={**result.provenance, **provenance},
    )


def _memory_notes(machine: Machine, workload: Workload) -> tuple[str, ...]:
    """What to say where a network's weights and state exceed the memory of a machine that has one."""
    needed = workload.provenance.get("resident_bytes", 0)
    room = getattr(machine.design, "memory_bytes", math.inf)
    if needed <= room:
        return ()
    return (f"weights and their state take {needed:,} bytes, memory holds {room:,.0f}: moving them is not charged",)


def _results(chosen: Sequence[tuple[Item, Machine]], values: bool) -> list[Part]:
    """Run each machine's operations in order; what comes back stands in the order of ``chosen``."""
    chosen = _ends_apart(chosen)
    queues: dict[int, Iterator[Result]] = {}
    for _, runner in chosen:
        if id(runner) not in queues:
            own = [item for item, other in chosen if other is runner]
            queues[id(runner)] = iter(runner.run_in_order(own, values=values))
    parts: list[Part] = [(item, runner, next(queues[id(runner)])) for item, runner in chosen]
    for _, _, result in parts:
        if not isinstance(result, Result):
            raise TypeError(f"run must return a Result, got {type(result).__name__}")
    return parts


def _ends_apart(chosen: Sequence[tuple[Item, Machine]]) -> list[tuple[Item, Machine]]:
    """The same work, the first and last repetition apart where a machine's run would begin or end with a repeated one.

    Repetitions keep their place, so that what is written out and what is repeated come to the same list of costs.
    """
    firsts: dict[int, int] = {}
    lasts: dict[int, int] = {}
    for place, (_, runner) in enumerate(chosen):
        firsts.setdefault(id(runner), place)
        lasts[id(runner)] = place
    out: list[tuple[Item, Machine]] = []
    for place, (item, runner) in enumerate(chosen):
        before = "first" in runner.ends_apart and item.repeat > 1 and place == firsts[id(runner)]
        after = "last" in runner.ends_apart and item.repeat > 1 + before and place == lasts[id(runner)]
        for repeat in (1 if before else 0, item.repeat - before - after, 1 if after else 0):
            if repeat:
                out.append((replace(item, repeat=repeat), runner))
    return out


def _mean_quality(parts: Sequence[Part]) -> dict[str, float]:
    """Each figure's mean over the operations that have it, by their repeats."""
    out: dict[str, float] = {}
    for name in sorted({name for _, _, r in parts for name in r.quality}):
        having = [(item.repeat, r.quality[name]) for item, _, r in parts if name in r.quality]
        out[name] = math.fsum(n * value for n, value in having) / sum(n for n, _ in having)
    return out


def _combine(
    machine: Machine,
    workload: str,
    parts: Sequence[Part],
    coverage: dict[str, float],
    missing: list[dict[str, Any]],
    provenance: dict[str, Any],
) -> Result:
    """Add up the results of several operations and transfers, one after another."""

    def total(field: str) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for item, _, result in parts:
            for key, value in getattr(result, field).items():
                out[key] = out.get(key, 0) + value * item.repeat
        return out

    def split(field: str, whole: str) -> dict[str, Any]:
        """Totals of a field whose parts add up to ``whole``, kept adding up where a result has no parts."""
        out = total(field)
        unsplit = sum((getattr(r, whole) or 0) * item.repeat for item, _, r in parts if not getattr(r, field))
        if out and unsplit:
            out["not attributed"] = out.get("not attributed", 0) + unsplit
        return out

    results = [r for _, _, r in parts]
    one_clock = len({r.clock_hz for r in results}) == 1 and results[0].clock_hz is not None
    whole = one_clock and all(r.cycles is not None for r in results)
    cycles = sum((r.cycles or 0) * i.repeat for i, _, r in parts) if whole else None
    seconds = sum(r.seconds * i.repeat for i, _, r in parts)
    with_energy = all(r.energy_j is not None for r in results)
    busy = [(r.utilization or 0.0) * r.seconds * i.repeat for i, _, r in parts]
    owned = [r for _, m, r in parts if m is machine] or results
    own = owned[0]
    # Operations have peaks of their own format: the roof over all of them is the highest.
    peaks = {name: max(r.peaks.get(name, 0.0) for r in owned) for r in owned for name in r.peaks}
    energy_parts = split("energy_parts", "energy_j") if with_energy else {}
    return Result(
        machine=machine.label,
        workload=workload,
        kind=own.kind,
        precision=tuple(sorted({form for r in results for form in r.precision})),
        seconds=seconds,
        overhead_s=None
        if any(r.overhead_s is None for r in results)
        else min(seconds, sum((r.overhead_s or 0.0) * i.repeat for i, _, r in parts)),
        cycles=cycles,
        clock_hz=results[0].clock_hz if whole else None,
        energy_j=sum(r.energy_j * i.repeat for i, _, r in parts if r.energy_j is not None) if with_energy else None,
        energy_parts=energy_parts,
        area_mm2=own.area_mm2,
        area_parts=own.area_parts,
        operations=total("operations"),
        traffic_bytes=total("traffic_bytes"),
        counters=total("counters"),
        phases=tuple(
            Phase(
                f"{item.op.name or item.op.kind}: {p.name}",
                None if p.cycles is None else p.cycles * item.repeat,
                p.seconds * item.repeat,
                {k: v * item.repeat for k, v in p.stalls.items()},
            )
            for item, _, r in parts
            for p in r.phases
        ),
        stalls=split("stalls", "cycles") if whole else {},
        utilization=sum(busy) / seconds if seconds and all(r.utilization is not None for r in results) else None,
        coverage=coverage,
        unsupported=missing,
        rows=tuple(
            {
                "name": item.op.name or item.op.kind,
                "kind": TRANSFER if isinstance(m, Link) else item.op.kind,
                "machine": m.label,
                "repeat": item.repeat,
                "seconds": r.seconds * item.repeat,
                "cycles": None if r.cycles is None else r.cycles * item.repeat,
            }
            for item, m, r in parts
        ),
        peaks=peaks,
        quality=_mean_quality(parts),
        notes=tuple(dict.fromkeys(n for r in results for n in r.notes)),
        design=own.design,
        provenance={**own.provenance, **provenance},
    )
