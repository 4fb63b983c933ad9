"""The loss as it is: what a loss scale is compared with, with the same methods."""

from __future__ import annotations

import torch
from torch import nn

from siloom.workloads.torch.guards import check_gradients


class Unscaled:
    """Stops where :class:`~siloom.workloads.torch.loss_scale.LossScale` would take a smaller factor."""

    overflows = 0

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    def backward(self, loss: torch.Tensor) -> None:
        """The backward pass.

        Raises:
            NotFiniteError: a product of a converted layer meets what is no number.
        """
        loss.backward()  # type: ignore[no-untyped-call]

    def step(self, optimizer: torch.optim.Optimizer) -> bool:
        """The optimizer's step.

        Raises:
            CheckFailedError: a gradient is not finite; names the weights.
        """
        check_gradients(self._model)
        optimizer.step()
        return True

    def state_dict(self) -> dict[str, float]:
        """None."""
        return {}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Nothing."""
