"""A point's accuracy by real training, and what a step of that training takes on its machine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from siloom.explore.job import Job
from siloom.models.registry import machine as machine_by_text
from siloom.sim.design import Value
from siloom.sim.errors import MissingPartError
from siloom.sim.link import DEFAULT
from siloom.sim.link import link as link_by_text
from siloom.sim.machine import Machine, run_workload
from siloom.sim.result import Result

if TYPE_CHECKING:
    from siloom.workloads.torch.training import Training


def train_point(
    made: Machine, job: Job, settings: Mapping[str, Value]
) -> tuple[list[tuple[Result, float]], dict[str, float]]:
    """Train with the point's values in the texts of the space's ``[training]``; results and what was learned.

    The step behind the last of the first seed is recorded and simulated; accuracy, loss and the share of saturated
    sums are means over seeds, one thread each.

    Raises:
        MissingPartError: PyTorch is not installed.
        SiloomError: as of ``siloom train``.
    """
    try:
        from siloom.workloads.torch.plan import Plan
        from siloom.workloads.torch.recorded import recorded
        from siloom.workloads.torch.training import train
    except ImportError:
        raise MissingPartError("[training] needs PyTorch: pip install 'siloom[train]'") from None
    said = job.training
    assert said is not None
    fields = {**made.design.as_dict(), **settings}
    runs: list[Training] = []
    for seed in range(said.seeds):
        plan = Plan.of(
            recipe_text=said.recipe.format(**fields),
            arithmetic=said.arithmetic.format(**fields),
            attention=said.attention.format(**fields),
            seed=seed,
            steps=said.steps,
            threads=1,
        )
        runs.append(train(plan))
    rest = None if said.rest is None else machine_by_text(said.rest)
    result = run_workload(made, recorded(runs[0]), rest=rest, link=None if rest is None else link_by_text(DEFAULT))
    return [(result, 1.0)], _learned(runs)


def _learned(runs: list[Training]) -> dict[str, float]:
    learned: dict[str, float] = {}
    accuracies = [run.history.curve[-1].accuracy for run in runs]
    if all(accuracy is not None for accuracy in accuracies):
        learned["accuracy"] = math.fsum(accuracy or 0.0 for accuracy in accuracies) / len(runs)
    learned["loss"] = math.fsum(run.history.final_loss for run in runs) / len(runs)
    sums = sum(run.history.total().sums for run in runs)
    learned["saturation_rate"] = sum(run.history.total().saturated for run in runs) / sums if sums else 0.0
    return learned
