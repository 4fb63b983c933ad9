"""What an optimizer keeps and moves for each weight, found by watching its tensors in a step.

Every tensor is taken to be read from memory once, and written once where it changed: no cache holds a weight's state
from one step to the next. Norms over a whole layer (LARS, LAMB, SAM) need weights and gradients before the first
update, and are not counted as another read. Counters of steps are no state of a weight and are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from siloom.workloads.torch.optimizer import Optimizer

_PROBE = (64, 64)
"""Shape of the weight that is looked at; it matters where the state is of rows and columns."""


@dataclass(frozen=True)
class Cost:
    """For each weight of a matrix, at every step."""

    state_bytes: float
    """Kept between steps."""
    traffic_bytes: float
    """Read and written for the step; the backward pass, which writes the gradient, is not in it."""
    gradients: int
    """Backward passes."""


def cost(rule: Optimizer, shape: tuple[int, ...] = _PROBE) -> Cost:
    """Watch the second step: the first has no state to read.

    Raises:
        MissingPartError: the package that has the optimizer is not installed.
    """
    weight = torch.nn.Parameter(torch.linspace(-1, 1, torch.Size(shape).numel()).reshape(shape).clone())
    made = rule.make([weight])
    within: list[dict[str, torch.Tensor]] = []

    def gradients() -> float:
        within.append(_state(made, weight))
        weight.grad = weight.detach().square() + 0.5
        return 0.0

    for _ in range(2):
        gradients()
        before = {name: value.clone() for name, value in _state(made, weight).items()}
        at = weight.detach().clone()
        made.step(gradients if rule.gradients > 1 else None)
    after = _state(made, weight)
    size = weight.element_size() * weight.numel()
    kept = sum(_bytes(value) for value in after.values())
    traffic = 2 * size + (0 if torch.equal(at, weight) else size)
    traffic += sum(_bytes(value) for value in before.values())
    traffic += sum(_bytes(value) for name, value in after.items() if not torch.equal(value, before[name]))
    if rule.gradients > 1:
        # The way uphill and back: weights and gradient read, weights written, and written again from what was put by.
        aside = sum(_bytes(value) for name, value in within[-1].items() if name not in after)
        traffic += 4 * size + 2 * aside
    return Cost(kept / weight.numel(), traffic / weight.numel(), rule.gradients)


def _state(made: torch.optim.Optimizer, weight: torch.Tensor) -> dict[str, torch.Tensor]:
    """Tensors of more than one number."""
    found = made.state.get(weight, {})
    return {name: value for name, value in found.items() if isinstance(value, torch.Tensor) and value.numel() > 1}


def _bytes(value: torch.Tensor) -> int:
    return value.numel() * value.element_size()
