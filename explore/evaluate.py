"""Evaluating points: one function from a point to its row, the same in every worker.

What a point does wrong is its row: a design that cannot be built, a workload that its machine does not take, a
constraint that is broken. Only what no row can say (the process dies, a limit is hit) is left to those who run it.
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from siloom.explore.bottleneck import bottleneck
from siloom.explore.expression import Condition, condition
from siloom.explore.job import Job, Task
from siloom.explore.row import Row, canonical
from siloom.sim.design import Design, Value
from siloom.sim.errors import InfeasibleError, InputError, MissingPartError, SiloomError
from siloom.sim.machine import Machine, run_workload
from siloom.sim.ops import Workload
from siloom.sim.result import Result

_PHASES = 60


class Evaluator:
    """A job with its machines made and its workloads loaded, when first needed."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._machines = [source.make() for source in job.machines]
        self._conditions = [condition("constraint", text) for text in job.constraints]

    @cached_property
    def workloads(self) -> list[tuple[Workload, float]]:
        """The workloads, each with its weight.

        Raises:
            SiloomError: one cannot be loaded.
        """
        from siloom.workloads.registry import load

        return [(load(text), weight) for text, weight in self._job.workloads]

    def machine(self, number: int) -> Machine:
        """A machine of the job, with its own design."""
        return self._machines[number]

    def judged(self, task: Task, metrics: Mapping[str, float]) -> Row:
        """The row of a point whose metrics are known, by the constraints that they can tell."""
        known = {**self._machines[task.number].design.as_dict(), **task.settings, **metrics}
        for one in self._conditions:
            if one.names <= known.keys() and (violation := one.violation(known)) > 0:
                reason, message = f"constraint: {one.text}", _told(one, known, violation)
                return self._row(task, status="infeasible", reason=reason, message=message, metrics=metrics)
        return self._row(task, status="ok", metrics=metrics)

    def row(self, task: Task) -> Row:
        """Evaluate one point.

        Raises:
            MemoryError, KeyboardInterrupt, MissingPartError: what no point is to blame for, and nothing else.
        """
        base = self._machines[task.number]
        known: dict[str, Value | float] = {**base.design.as_dict(), **task.settings}
        with contextlib.redirect_stdout(sys.stderr):  # what a user's machine prints is no part of a document
            try:
                design, made = self._machine(base, task.settings)
                if broken := self._broken(known, before=True):
                    return self._infeasible(task, *broken)
                if (early := self._too_large(task, base, known)) is not None:
                    return early
                for text, part in self._job.fits:
                    if short := _short(design, part):
                        return self._infeasible(task, text, short)
                metrics, details, most = self._measured(made, task)
            except InfeasibleError as error:
                return self._infeasible(task, "design", str(error))
            except InputError as error:
                return self._infeasible(task, "value", str(error))
            except MissingPartError:
                raise
            except SiloomError as error:
                return self._row(task, status="failed", reason=type(error).__name__, message=_line(error))
            except MemoryError:
                raise
            except (Exception, SystemExit) as error:  # a defect, ours or of a user's machine, is one point's fate
                return self._row(task, status="failed", reason=type(error).__name__, message=_line(error))
        about: dict[str, Any] = {"metrics": metrics, "details": details, "bottleneck": most}
        if broken := self._broken({**known, **metrics}, before=False):
            reason, message = broken
            return self._row(task, status="infeasible", reason=reason, message=message, **about)
        return self._row(task, status="ok", **about)

    def _too_large(self, task: Task, base: Machine, known: Mapping[str, Value]) -> Row | None:
        """The row of a point whose area, which the closed form knows exactly, breaks a constraint: it need not run."""
        if self._job.fidelity != "cycles" or not any("area_mm2" in one.names for one in self._conditions):
            return None
        from siloom.explore.bound import bounds

        found = bounds(base, self.workloads, [task.settings])
        if found is None or "area_mm2" not in found:
            return None
        area = {"area_mm2": float(found["area_mm2"][0])}
        if broken := self._broken({**known, **area}, before=True):
            return self._row(task, status="infeasible", reason=broken[0], message=broken[1], metrics=area)
        return None

    def _machine(self, base: Machine, settings: Mapping[str, Value]) -> tuple[Design, Machine]:
        own = {name: value for name, value in settings.items() if name in base.design.parameters()}
        design = base.design.with_settings(base.name, own)
        return design, type(base)(design, base.label)

    def _measured(self, made: Machine, task: Task) -> tuple[dict[str, float], str, str]:
        if self._job.fidelity == "synthesis":
            from siloom.explore.synthesize_point import synthesize_point

            text = self._job.machine_texts[task.number]
            return synthesize_point(text, task.settings, self._job.part), "", ""
        if self._job.fidelity == "training":
            from siloom.explore.train_point import train_point

            runs, learned = train_point(made, self._job, task.settings)
        else:
            runs = [(run_workload(made, work), weight) for work, weight in self.workloads]
            learned = {}
        metrics, details, most = summary(runs)
        return {**metrics, **learned}, details, most

    def _broken(self, known: Mapping[str, Any], *, before: bool) -> tuple[str, str] | None:
        """The first broken constraint of those that can be told before a run, or of the others."""
        for one in self._conditions:
            if before and not one.names <= known.keys():
                continue
            violation = one.violation(known)
            if violation > 0:
                return f"constraint: {one.text}", _told(one, known, violation)
        return None

    def _infeasible(self, task: Task, reason: str, message: str) -> Row:
        return self._row(task, status="infeasible", reason=reason, message=" ".join(message.split()))

    def _row(self, task: Task, **about: Any) -> Row:
        return Row(
            key=task.key,
            machine=self._job.machine_texts[task.number],
            settings=dict(task.settings),
            workload=self._job.workload_text,
            fidelity=self._job.fidelity,
            **about,
        )


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]


def _told(one: Condition, known: Mapping[str, Any], violation: float) -> str:
    values = ", ".join(f"{name} = {known[name]:.6g}" for name in sorted(one.names) if _is_number(known.get(name)))
    missed = f", missed by {violation:.3%}" if math.isfinite(violation) else ""
    return f"{values or 'no value'}{missed}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(design: Design, part: str) -> str:
    """What an FPGA lacks for the array that ``design`` names; empty where it holds it.

    Raises:
        InputError: the design is no array of cells that the part's resources are counted for.
    """
    from siloom.models._fpga_design import FpgaDesign
    from siloom.models._fpga_resources import require_fit
    from siloom.models.registry import machine as machine_by_text

    target = machine_by_text(part).design
    assert isinstance(target, FpgaDesign)
    own = design.as_dict()
    if "rows" not in own or "cols" not in own:
        raise InputError(f"fits {part}: resources are counted for arrays with rows and cols")
    asked = {
        ours: own[theirs]
        for ours, theirs in _ARRAY.items()
        if theirs in own and (own[theirs] != "auto" or ours in ("multiplier",))
    }
    try:
        require_fit(part, target.with_settings(part, asked))
    except InfeasibleError as error:
        return str(error)
    return ""


_ARRAY = {
    "rows": "rows",
    "cols": "cols",
    "precision": "precision",
    "accumulator": "accumulator",
    "multiplier": "multiplier",
    "dataflow": "dataflow",
    "double_buffer": "double_buffer",
    "ifmap_bytes": "ifmap_sram_bytes",
    "filter_bytes": "filter_sram_bytes",
    "ofmap_bytes": "ofmap_sram_bytes",
}
"""An FPGA array's choices, and what a systolic array calls them."""


def summary(runs: Sequence[tuple[Result, float]]) -> tuple[dict[str, float], str, str]:
    """Metrics, details and bottleneck of weighted results: times, energies and stalls add up by weight.

    Area is the largest (it is one machine's; some machines are built for their workload), quality and utilization are
    means over time.
    """
    seconds = math.fsum(weight * result.seconds for result, weight in runs)
    metrics: dict[str, float] = {"seconds": seconds}
    if all(result.energy_j is not None for result, _ in runs):
        energy = math.fsum(weight * (result.energy_j or 0.0) for result, weight in runs)
        metrics |= {"energy_j": energy, "edp_js": energy * seconds}
        if seconds:
            metrics["power_w"] = energy / seconds
    if all(result.area_mm2 is not None for result, _ in runs):
        metrics["area_mm2"] = max(result.area_mm2 or 0.0 for result, _ in runs)
    if all(result.cycles is not None for result, _ in runs):
        metrics["cycles"] = math.fsum(weight * (result.cycles or 0) for result, weight in runs)
    if seconds and all(result.utilization is not None for result, _ in runs):
        metrics["utilization"] = math.fsum(w * r.seconds * (r.utilization or 0.0) for r, w in runs) / seconds
    total = math.fsum(weight for _, weight in runs)
    for name in sorted({name for result, _ in runs for name in result.quality}):
        if all(name in result.quality for result, _ in runs):
            metrics[name] = math.fsum(w * r.quality[name] for r, w in runs) / total
    stalls: dict[str, float] = {}
    for result, weight in runs:
        for cause, cycles in result.stalls.items():
            stalls[cause] = stalls.get(cause, 0) + weight * cycles
    return metrics, canonical({"workloads": [_detail(*run) for run in runs]}), bottleneck(stalls)


def _detail(result: Result, weight: float) -> dict[str, Any]:
    return {
        "name": result.workload,
        "weight": weight,
        "seconds": result.seconds,
        "cycles": result.cycles,
        "phases": _phases(result),
        "stalls": dict(result.stalls),
        "energy_parts": dict(result.energy_parts),
        "area_parts": dict(result.area_parts),
        "traffic_bytes": dict(result.traffic_bytes),
        "operations": dict(result.operations),
        "quality": dict(result.quality),
        "notes": list(result.notes),
    }


def _phases(result: Result) -> list[dict[str, Any]]:
    """The phases; of a long network those of one name put together, whatever operation they belong to.

    A machine that names none has one, so that its stalls are seen all the same.
    """
    if not result.phases and result.stalls:
        whole = {"cycles": result.cycles, "seconds": result.seconds, "stalls": dict(result.stalls)}
        return [{"name": "all", **whole}]
    short = len(result.phases) <= _PHASES
    out: dict[str, dict[str, Any]] = {}
    for phase in result.phases:
        name = phase.name if short else phase.name.rpartition(": ")[2]
        entry = out.setdefault(name, {"name": name, "cycles": 0, "seconds": 0.0, "stalls": {}})
        entry["cycles"] = None if phase.cycles is None or entry["cycles"] is None else entry["cycles"] + phase.cycles
        entry["seconds"] += phase.seconds
        for cause, cycles in phase.stalls.items():
            entry["stalls"][cause] = entry["stalls"].get(cause, 0) + cycles
    return list(out.values())
