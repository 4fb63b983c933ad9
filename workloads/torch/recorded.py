"""The step behind a run's last one, recorded: what training costs on a machine is read off it."""

from __future__ import annotations

import torch

from siloom.sim.ops import Workload
from siloom.workloads.torch.record import record
from siloom.workloads.torch.training import Training, reproducible


def recorded(training: Training) -> Workload:
    """One more step of a finished run, as a workload named as its plan; it moves the weights.

    The examples are at hand before the step begins, and its loss and gradients are not looked at: both are the
    harness's work, not training's.

    Raises:
        InputError: see :func:`siloom.workloads.torch.record.record`.
    """
    recipe = training.plan.recipe
    parts = list(training.batches())
    training.model.train()

    def gradients() -> float:
        training.optimizer.zero_grad()
        for inputs, targets in parts:
            loss = training.loss(inputs, targets) / recipe.accumulate
            loss.backward()  # type: ignore[no-untyped-call]
        return 0.0

    def step(_: torch.nn.Module) -> None:
        gradients()
        training.optimizer.step(gradients if training.plan.optimizer.gradients > 1 else None)

    with reproducible(training.plan.threads):
        return record(training.model, step, name=training.plan.label())
