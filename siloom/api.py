"""The Python API: what the command line does, on names, texts or objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siloom import __version__
from siloom.models.registry import machine as _by_text
from siloom.sim.errors import InfeasibleError
from siloom.sim.machine import Machine, run_workload
from siloom.sim.ops import Operation, Workload
from siloom.sim.result import Result
from siloom.workloads.registry import load as _load

if TYPE_CHECKING:
    import pandas as pd

AnyMachine = str | Machine
AnyWorkload = str | Path | Workload | Operation


def machine(name: str, **settings: object) -> Machine:
    """Make a machine: ``machine("outerspace", l0_bytes=32768)``.

    Raises:
        UsageError: an unknown name or field.
        InputError: a value out of range.
    """
    made = _by_text(name)
    if not settings:
        return made
    label = name + (":" if ":" not in name else ",") + ",".join(f"{k}={v}" for k, v in settings.items())
    return type(made)(made.design.with_settings(name, settings), label)


def load(text: str | Path) -> Workload:
    """The workload that a text or path names; see DESIGN's WORKLOAD.

    Raises:
        UsageError: an unknown name or field.
        InputError: an absent or malformed file, or a value out of range.
    """
    return _load(text)


def _machine_of(item: AnyMachine) -> Machine:
    return item if isinstance(item, Machine) else _by_text(item)


def _workload_of(item: AnyWorkload) -> Workload:
    if isinstance(item, Workload):
        return item
    if isinstance(item, Operation):
        return Workload.of(item.name or item.kind, item)
    return _load(item)


def run(
    machine: AnyMachine,
    workload: AnyWorkload,
    rest: AnyMachine | None = None,
    trace: str | Path | None = None,
    values: bool = False,
) -> Result:
    """Run a workload on a machine.

    ``rest`` names who runs the operations that ``machine`` does not support; ``trace`` is a file for
    the Chrome trace; with ``values`` the Result carries what was computed, where the machine can.

    Raises:
        SiloomError: see :mod:`siloom.sim.errors`.
    """
    chosen, work = _machine_of(machine), _workload_of(workload)
    other = None if rest is None else _machine_of(rest)
    result = _stamped(run_workload(chosen, work, rest=other, values=values))
    if trace is not None:
        from siloom.reports.trace import write_trace

        write_trace(result, Path(trace))
    return result


def _stamped(result: Result) -> Result:
    return replace(result, provenance={**result.provenance, "siloom": __version__})


@dataclass(frozen=True)
class Comparison:
    """Several machines on the operations that all of them run.

    ``speedups`` is machine -> baseline -> seconds(baseline) / seconds(machine).
    """

    results: tuple[Result, ...]
    baselines: tuple[str, ...]
    operations: tuple[str, ...]
    left_out: tuple[str, ...]
    speedups: Mapping[str, Mapping[str, float]]

    def to_dict(self) -> dict[str, Any]:
        """The document that ``siloom compare --json`` prints."""
        return {
            "baselines": list(self.baselines),
            "operations": list(self.operations),
            "left_out": list(self.left_out),
            "rows": [{**r.to_dict(), "speedup": dict(self.speedups[r.machine])} for r in self.results],
        }


def compare_results(
    workload: AnyWorkload,
    machines: Sequence[AnyMachine],
    baselines: Sequence[AnyMachine] = (),
    rest: AnyMachine | None = None,
    watch: Any = None,
) -> Comparison:
    """Run every machine, and every baseline not among them, on the same operations.

    ``watch`` is called with each machine's label before it runs.

    Raises:
        InfeasibleError: no operation is supported by all machines.
        SiloomError: see :mod:`siloom.sim.errors`.
    """
    work = _workload_of(workload)
    chosen = {m.label: m for m in map(_machine_of, machines)}
    bases = {m.label: m for m in map(_machine_of, baselines)}
    everyone = {**chosen, **{k: v for k, v in bases.items() if k not in chosen}}
    other = None if rest is None else _machine_of(rest)
    shared = frozenset(
        i
        for i, item in enumerate(work.items)
        if all(m.supports(item.op) or (other is not None and other.supports(item.op)) for m in everyone.values())
    )
    if not shared:
        kinds = sorted({item.op.kind for item in work.items})
        raise InfeasibleError(
            f"{work.name}: no operation of {', '.join(kinds)} is supported by all of {', '.join(everyone)}"
        )
    results = []
    for label, item in everyone.items():
        if watch is not None:
            watch(label)
        results.append(_stamped(run_workload(item, work, rest=other, only=shared)))
    seconds = {r.machine: r.seconds for r in results}
    names = [item.op.name or item.op.kind for item in work.items]
    return Comparison(
        results=tuple(results),
        baselines=tuple(bases),
        operations=tuple(names[i] for i in sorted(shared)),
        left_out=tuple(name for i, name in enumerate(names) if i not in shared),
        speedups={
            label: {base: seconds[base] / own if own > 0 else 0.0 for base in bases} for label, own in seconds.items()
        },
    )


def compare(
    workload: AnyWorkload,
    machines: Sequence[AnyMachine],
    baselines: Sequence[AnyMachine] = (),
    rest: AnyMachine | None = None,
) -> pd.DataFrame:
    """Compare machines: one row each, the columns named as in ``siloom compare --json``.

    ``attrs["results"]`` holds the Result objects.

    Raises:
        InfeasibleError: no operation is supported by all machines.
        SiloomError: see :mod:`siloom.sim.errors`.
    """
    import pandas as pd

    comparison = compare_results(workload, machines, baselines, rest)
    frame = pd.DataFrame(comparison.to_dict()["rows"])
    frame.attrs["results"] = comparison.results
    return frame
