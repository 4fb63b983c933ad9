"""Weights whose loss would change the network's the least go before training begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from siloom.sim.errors import CheckFailedError
from siloom.workloads.torch.masks import Masks
from siloom.workloads.torch.sparse import Sparsity, density_field


@dataclass(frozen=True, kw_only=True)
class Snip(Sparsity):
    """Lee et al. 2019 (arXiv 1810.02340): on the first batch, the largest |weight times gradient| stay."""

    name = "snip"
    summary = "one pruning before the first step, by weight times gradient"
    endless = True

    density: float = density_field(0.1)

    def update(self, masks: Masks, step: int, steps: int, gradients: Callable[[], None]) -> None:
        """Before the first step alone."""
        if step:
            return
        gradients()
        scores = {}
        for path in masks.layers:
            weight = masks.weight(path)
            if weight.grad is None:
                raise CheckFailedError(f"snip: layer {path} takes no part in the loss: it has no gradient")
            scores[path] = (weight * weight.grad).abs().detach()
        masks.put_largest(scores, self.density)
