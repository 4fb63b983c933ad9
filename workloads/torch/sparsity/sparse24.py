"""Two of every four weights, as sparse tensor cores take them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from siloom.sim.design import parameter
from siloom.workloads.torch.masks import Masks
from siloom.workloads.torch.sparse import Sparsity

_RECIPE = "Mishra et al. 2021, arXiv 2104.08378: train, prune, train again alike"


@dataclass(frozen=True, kw_only=True)
class Sparse24(Sparsity):
    """Train dense for the share ``dense`` of the steps; keep the larger two of four; train the rest of the steps.

    The optimizer forgets its state at the pruning, and the schedule of the rate begins anew. The four are neighbours
    along the axis that a product sums over: inputs of a dense layer, channel and place in the filter of a convolution.
    A layer whose sums are no multiple of four long stays dense.
    """

    name = "sparse24"
    summary = "2:4: dense training, pruning, training again"

    dense: float = parameter(0.5, unit="of the steps", source=_RECIPE, status="recalled", low=0.0, high=1.0)

    def update(self, masks: Masks, step: int, steps: int, gradients: Callable[[], None]) -> None:
        """Once, at the border between both trainings."""
        if step != self._border(steps):
            return
        for path in masks.layers:
            weight = masks.weight(path).detach()
            if weight[0].numel() % 4 == 0:
                masks.put(path, larger_half(weight))
        masks.restart()

    def lap(self, step: int, steps: int) -> tuple[int, int]:
        """Two trainings."""
        border = self._border(steps)
        return (step, border) if step < border else (step - border, steps - border)

    def _border(self, steps: int) -> int:
        return min(steps - 1, round(self.dense * steps))


def larger_half(weight: torch.Tensor) -> torch.Tensor:
    """True at the two largest of every four in a row; of equal ones the earlier stay."""
    fours = weight.abs().reshape(-1, 4)
    order = fours.argsort(dim=1, descending=True, stable=True)
    return torch.zeros_like(fours, dtype=torch.bool).scatter_(1, order[:, :2], True).reshape(weight.shape)
