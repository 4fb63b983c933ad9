"""Weights that are small go, more and more of them until the end of a ramp."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from siloom.sim.design import parameter
from siloom.workloads.torch.masks import Masks
from siloom.workloads.torch.named import CHOICE
from siloom.workloads.torch.sparse import Sparsity, density_field


@dataclass(frozen=True, kw_only=True)
class Magnitude(Sparsity):
    """Zhu and Gupta 2017 (arXiv 1710.01878): sparsity rises from 0 along 1 - (1 - t)^3 until ``until`` of the steps.

    At every ``every``-th step the smallest weights of the whole network go; those that went stay away.
    """

    name = "magnitude"
    summary = "gradual pruning of the smallest weights"

    density: float = density_field(0.2)
    every: int = parameter(20, unit="steps", source=CHOICE, status="assumed", low=1, high=10**6)
    until: float = parameter(0.6, unit="of the steps", source=CHOICE, status="assumed", low=0.01, high=1.0)

    def update(self, masks: Masks, step: int, steps: int, gradients: Callable[[], None]) -> None:
        """Prune on the ramp; the last step of the ramp reaches the density."""
        last = max(0, round(self.until * steps) - 1)
        if step > last or (step % self.every and step != last):
            return
        density = 1 - (1 - self.density) * (1 - (1 - (step + 1) / (last + 1)) ** 3)
        masks.put_largest({path: masks.weight(path).abs() for path in masks.layers}, density)
