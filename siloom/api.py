"""The Python API: what the command line does, on names, texts or objects."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siloom import __version__
from siloom.models.registry import machine as _by_text
from siloom.models.registry import raised_in, users_file
from siloom.sim.errors import InfeasibleError, InputError, SiloomError, UsageError
from siloom.sim.link import DEFAULT as DEFAULT_LINK
from siloom.sim.link import Link
from siloom.sim.link import link as _link_by_text
from siloom.sim.machine import Machine, run_workload
from siloom.sim.offload import with_speedup
from siloom.sim.ops import Operation, Workload
from siloom.sim.result import Result
from siloom.sim.settings import Named, parse_named
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
    if not settings:
        return _by_text(name)
    named = parse_named(name)
    made = _by_text(named.name)
    merged = {**named.settings, **settings}
    label = str(Named(named.name, {key: str(value) for key, value in merged.items()}))
    return type(made)(made.design.with_settings(named.name, merged), label)


def load(text: str | Path) -> Workload:
    """The workload that a text or path names; see DESIGN's WORKLOAD.

    Raises:
        UsageError: an unknown name or field.
        InputError: an absent or malformed file, or a value out of range.
    """
    return _load(text)


def _machine_of(item: AnyMachine) -> Machine:
    if isinstance(item, Machine):
        return item
    if not isinstance(item, str):
        raise UsageError(f"a machine must be a name or a Machine, got {type(item).__name__}")
    return _by_text(item)


def _workload_of(item: AnyWorkload) -> Workload:
    if isinstance(item, Workload):
        return item
    if isinstance(item, Operation):
        return Workload.of(item.name or item.kind, item)
    if not isinstance(item, str | Path):
        raise UsageError(f"a workload must be a name, a path, a Workload or an Operation, got {type(item).__name__}")
    return _load(item)


def _link_of(item: str | Link) -> Link:
    return _link_by_text(item) if isinstance(item, str) else item


@contextlib.contextmanager
def _blaming(*machines: Machine | None) -> Iterator[None]:
    """Tell what a user's own machine does wrong as its fault, in one line; what it prints is no result."""
    files = [file for machine in machines if machine is not None and (file := users_file(machine))]
    if not files:
        yield
        return
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except SiloomError:
        raise
    except (Exception, SystemExit) as error:
        file = next((f for f in files if raised_in(error, Path(f))), files[0])
        raise InputError(f"{file}: {type(error).__name__}: {' '.join(str(error).split())}") from error


def _run(machine: Machine, work: Workload, rest: Machine | None, **how: Any) -> Result:
    """Run a workload."""
    with _blaming(machine, rest):
        result = _stamped(run_workload(machine, work, rest=rest, **how))
        if users_file(machine) or (rest is not None and users_file(rest)):
            result.to_json()  # a field that is no plain value is found here, not where the result is written
        return result


def run(
    machine: AnyMachine,
    workload: AnyWorkload,
    rest: AnyMachine | None = None,
    trace: str | Path | None = None,
    values: bool = False,
    link: str | Link = DEFAULT_LINK,
) -> Result:
    """Run a workload on a machine.

    ``rest`` names who runs the operations that ``machine`` does not support, and ``link`` what lies between the two
    (:mod:`siloom.sim.link`); the Result then has ``over_rest``. ``trace`` is a file for
    the Chrome trace; with ``values`` the Result carries what was computed, where the machine can.

    Raises:
        SiloomError: see :mod:`siloom.sim.errors`.
    """
    chosen, work = _machine_of(machine), _workload_of(workload)
    other = None if rest is None else _machine_of(rest)
    result = _run(chosen, work, rest=other, link=_link_of(link), values=values)
    if other is not None:
        with _blaming(other):
            result = with_speedup(result, other, work)
    if trace is not None:
        from siloom.reports.trace import write_trace

        write_trace(result, Path(trace))
    return result


def _stamped(result: Result) -> Result:
    return replace(result, provenance={**result.provenance, "siloom": __version__})


@dataclass(frozen=True)
class Comparison:
    """Several machines on the operations that all of them run.

    ``speedups`` is machine -> baseline -> seconds(baseline) / seconds(machine), None where either is 0.
    """

    results: tuple[Result, ...]
    baselines: tuple[str, ...]
    operations: tuple[str, ...]
    left_out: tuple[str, ...]
    speedups: Mapping[str, Mapping[str, float | None]]

    @property
    def flags(self) -> tuple[str, ...]:
        """In what the machines did not do the same: formats computed in, the work that counted, the cost of calls."""
        from siloom.reports.comparison import unequal_overheads

        precision = {r.machine: "+".join(r.precision) for r in self.results if r.precision}
        work = {r.machine: f"{r.operations.get('effective_multiplies', 0):,}" for r in self.results}
        calls = unequal_overheads([(r.machine, r) for r in self.results])
        return tuple(
            f"{what} differs: {', '.join(f'{machine} {value}' for machine, value in values.items())}"
            for what, values in (
                ("precision", precision),
                ("effective multiplies", work),
                ("time of calls and host", calls),
            )
            if len(set(values.values())) > 1
        )

    def to_dict(self) -> dict[str, Any]:
        """The document that ``siloom compare --json`` prints."""
        return {
            "baselines": list(self.baselines),
            "operations": list(self.operations),
            "left_out": list(self.left_out),
            "flags": list(self.flags),
            "rows": [{**r.to_dict(), "speedup": dict(self.speedups[r.machine])} for r in self.results],
        }


def compare_results(
    workload: AnyWorkload,
    machines: Sequence[AnyMachine],
    baselines: Sequence[AnyMachine] = (),
    rest: AnyMachine | None = None,
    watch: Any = None,
    link: str | Link = DEFAULT_LINK,
) -> Comparison:
    """Run every machine, and every baseline not among them, on the same operations.

    ``watch`` is called with each machine's label before it runs.

    Raises:
        InfeasibleError: no operation is supported by all machines.
        SiloomError: see :mod:`siloom.sim.errors`.
    """
    work = _workload_of(workload)
    if not machines:
        raise UsageError("compare: name at least one machine")
    everyone: dict[str, Machine] = {}
    for item in map(_machine_of, machines):
        _add(everyone, item)
    bases = [_find_or_add(everyone, item) for item in map(_machine_of, baselines)]
    other, between = None if rest is None else _machine_of(rest), _link_of(link)
    with _blaming(*everyone.values(), other):
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
        result = _run(item, work, rest=other, link=between, only=shared)
        results.append(result if result.machine == label else replace(result, machine=label))
    seconds = {r.machine: r.seconds for r in results}
    names = [item.op.name or item.op.kind for item in work.items]
    return Comparison(
        results=tuple(results),
        baselines=tuple(bases),
        operations=tuple(names[i] for i in sorted(shared)),
        left_out=tuple(name for i, name in enumerate(names) if i not in shared),
        speedups={label: {base: _ratio(seconds[base], own) for base in bases} for label, own in seconds.items()},
    )


def _add(everyone: dict[str, Machine], machine: Machine) -> str:
    """Add a machine under its label, numbered where another has it already; return the label."""
    label, number = machine.label, 2
    while label in everyone:
        label, number = f"{machine.label} ({number})", number + 1
    everyone[label] = machine
    return label


def _find_or_add(everyone: dict[str, Machine], machine: Machine) -> str:
    """Label of the machine of the same class and design that is there already, else add it."""
    for label, other in everyone.items():
        if other.label == machine.label and type(other) is type(machine) and other.design == machine.design:
            return label
    return _add(everyone, machine)


def _ratio(baseline: float, own: float) -> float | None:
    return baseline / own if baseline > 0 and own > 0 else None


def compare(
    workload: AnyWorkload,
    machines: Sequence[AnyMachine],
    baselines: Sequence[AnyMachine] = (),
    rest: AnyMachine | None = None,
    link: str | Link = DEFAULT_LINK,
) -> pd.DataFrame:
    """Compare machines: one row each, the columns named as in ``siloom compare --json``.

    ``attrs["results"]`` holds the Result objects.

    Raises:
        InfeasibleError: no operation is supported by all machines.
        SiloomError: see :mod:`siloom.sim.errors`.
    """
    import pandas as pd

    comparison = compare_results(workload, machines, baselines, rest, link=link)
    frame = pd.DataFrame(comparison.to_dict()["rows"])
    frame.attrs["results"] = comparison.results
    return frame
