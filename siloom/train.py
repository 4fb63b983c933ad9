"""``siloom train``: runs of training, their seeds put together, as documents of plain values.

Raises (when a function here is called):
    MissingPartError: torch is not installed, with the line that installs it.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siloom import __version__
from siloom.sim.errors import MissingPartError, SiloomError
from siloom.sim.link import DEFAULT

if TYPE_CHECKING:
    from siloom.workloads.torch.plan import Plan
    from siloom.workloads.torch.training import Training

_ALARMING = 0.5
"""Share of results beyond their accumulator's range above which a run says that it is not to be trusted."""
_CONFIDENCE = 0.95


def require_torch() -> None:
    """Say what to install where torch is absent.

    Raises:
        MissingPartError: it is.
    """
    if importlib.util.find_spec("torch") is None:
        raise MissingPartError("siloom train: needs PyTorch: pip install 'siloom[train]'")


def plans(seeds: Sequence[int], **choices: Any) -> list[Plan]:
    """One plan for each seed; ``choices`` are those of :meth:`siloom.workloads.torch.plan.Plan.of`.

    Raises:
        UsageError, InputError: see there.
    """
    require_torch()
    from siloom.workloads.torch.plan import Plan

    return [Plan.of(seed=seed, **choices) for seed in seeds]


def run(
    plan: Plan,
    *,
    resume: Path | None = None,
    checkpoint: Path | None = None,
    watch: Callable[[str], None] = lambda _: None,
    trace: Path | None = None,
    machines: Sequence[str] = (),
    rest: str | None = None,
    link: str | None = None,
) -> dict[str, Any]:
    """Train, and say how it went: the document of one run.

    With ``trace`` or ``machines`` the step behind the last is recorded, kept as a file, and simulated: the document's
    ``machines`` are results as of ``siloom run``, with the ``speedup`` over the GPU baseline; ``refused`` says why
    others have none (``machine``, ``reason``, ``exit_code``).

    Raises:
        SiloomError: see :func:`siloom.workloads.torch.training.train`.
    """
    from siloom.workloads.torch.training import train

    training = train(plan, resume=resume, checkpoint=checkpoint, watch=watch)
    made = document(training)
    if trace is None and not machines:
        return made
    from siloom.step_cost import step_cost
    from siloom.workloads.npz_trace import save_trace
    from siloom.workloads.torch.recorded import recorded

    watch("recording a step")
    step = recorded(training)
    if trace is not None:
        save_trace(step, trace)
        made["trace"] = str(trace)
    for machine in machines:
        try:
            made["machines"] += step_cost(step, [machine], rest, link or DEFAULT, watch)
        except SiloomError as error:  # what was learned is not lost for it
            reason = " ".join(str(error).split())
            made["refused"].append({"machine": machine, "reason": reason, "exit_code": error.exit_code})
    return made


def document(training: Training) -> dict[str, Any]:
    """A finished run as plain values, with at least the fields that DESIGN promises."""
    import torch

    from siloom.workloads.torch.optimizer_cost import cost

    plan, history = training.plan, training.history
    last, total = history.curve[-1], history.total()
    return {
        "recipe": str(plan.recipe),
        "arithmetic": plan.ways.text("forward"),
        "backward": {"grad_input": plan.ways.text("grad_input"), "grad_weight": plan.ways.text("grad_weight")},
        "optimizer": str(plan.optimizer),
        "optimizer_cost": asdict(cost(plan.optimizer)),
        "schedule": str(plan.schedule),
        "sparsity": str(plan.sparsity),
        "attention_method": str(plan.attention),
        "techniques": [str(technique) for technique in plan.techniques],
        "seed": plan.seed,
        "threads": plan.threads,
        "steps": training.step,
        "parameters": sum(weight.numel() for weight in training.model.parameters()),
        "trained_parameters": sum(w.numel() for w in training.model.parameters() if w.requires_grad),
        "final_loss": history.final_loss,
        "validation_loss": last.validation_loss,
        "accuracy": last.accuracy,
        "seconds_per_step": training.seconds_per_step,
        "saturations": total.saturated,
        "saturation_rate": total.saturated / total.sums if total.sums else 0.0,
        "clipped": total.clipped,
        "counts": history.rows(),
        "overflows": training.scale.overflows,
        "attention": [
            {"layer": place, **kept._asdict(), "density": kept.density} for place, kept in sorted(history.kept.items())
        ],
        "work": [{"what": what, **done._asdict(), "share": done.share} for what, done in sorted(history.done.items())],
        "density": last.density,
        "densities": training.masks.densities(),
        "curve": history.to_dict()["curve"],
        "data": {"hash": training.data.content_hash(), **training.data.facts},
        "trace": None,
        "machines": [],
        "refused": [],
        "notes": _notes(training),
        "provenance": {"siloom": __version__, "torch": torch.__version__},
    }


def _notes(training: Training) -> list[str]:
    from siloom.workloads.torch.methods.exact import Exact

    total, ways = training.history.total(), training.plan.ways
    notes = ways.cautions
    if training.plan.attention.name != Exact.name and not training.history.kept:
        notes = [
            *notes,
            f"{training.plan.attention.name} chose no scores: no layer of {training.plan.recipe.name} attends",
        ]
    if total.saturated <= _ALARMING * total.sums:
        return notes
    share = total.saturated / total.sums
    return [
        *notes,
        f"{share:.0%} of all results left the accumulator's range in {ways.text('forward')}: what was "
        "learned is the accumulator's limits, not the data",
    ]


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Where the mean lies with 95 % confidence, by Student's t; None for less than two values."""
    if len(values) < 2:
        return None
    import numpy as np
    from scipy.stats import t

    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(len(values))
    reach = float(t.ppf((1 + _CONFIDENCE) / 2, len(values) - 1)) * error
    return mean - reach, mean + reach


_MEANS = ("final_loss", "validation_loss", "accuracy", "seconds_per_step", "saturation_rate", "density")


def together(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Runs of one plan with several seeds as one row: means, their intervals, and the runs themselves."""
    first = runs[0]
    shared = (
        "recipe",
        "arithmetic",
        "backward",
        "optimizer",
        "optimizer_cost",
        "schedule",
        "sparsity",
        "attention_method",
        "techniques",
        "threads",
        "steps",
        "parameters",
        "trained_parameters",
    )
    row: dict[str, Any] = {key: first[key] for key in (*shared, "data", "provenance", "trace")}
    for key in _MEANS:
        values = [run[key] for run in runs if run[key] is not None]
        row[key] = sum(values) / len(values) if values else None
    for key in ("accuracy", "validation_loss"):
        found = interval([run[key] for run in runs if run[key] is not None])
        # Student's t knows no ends, but these have some.
        most = 1.0 if key == "accuracy" else math.inf
        row[f"{key}_interval"] = None if found is None else [max(0.0, found[0]), min(most, found[1])]
    row["saturations"] = sum(run["saturations"] for run in runs)
    row["seeds"] = [run["seed"] for run in runs]
    row["attention"] = [layer for run in runs for layer in run["attention"]]
    row["work"] = [done for run in runs for done in run["work"]]
    row["machines"] = first["machines"]
    row["refused"] = first["refused"]
    row["notes"] = list(dict.fromkeys(note for run in runs for note in run["notes"]))
    row["runs"] = [dict(run) for run in runs]
    return row
