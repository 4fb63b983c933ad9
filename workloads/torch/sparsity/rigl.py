"""A sparse pattern that moves: small weights go, and as many come where gradients are large."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from siloom.sim.design import parameter
from siloom.sim.errors import CheckFailedError
from siloom.workloads.torch.masks import Masks
from siloom.workloads.torch.sparse import Sparsity, density_field

_RIGL = "Evci et al. 2020, arXiv 1911.11134"


@dataclass(frozen=True, kw_only=True)
class Rigl(Sparsity):
    """Every layer keeps the share ``density``, at first drawn at random.

    Every ``every`` steps, until the share ``until`` of them, a part alpha / 2 (1 + cos(pi t / end)) of a layer's kept
    weights, the smallest, goes. As many come, from 0, where the gradient of this step's batch is the largest among
    the weights that were not kept.
    """

    name = "rigl"
    summary = "drops small weights and grows large gradients, over and over"

    density: float = density_field(0.1)
    every: int = parameter(20, unit="steps", source=_RIGL, status="assumed", low=1, high=10**6)
    alpha: float = parameter(0.3, unit="", source=_RIGL, status="recalled", low=0.0, high=1.0)
    until: float = parameter(0.75, unit="of the steps", source=_RIGL, status="recalled", low=0.0, high=1.0)

    def update(self, masks: Masks, step: int, steps: int, gradients: Callable[[], None]) -> None:
        """Draw the pattern before the first step; move it behind every ``every`` steps."""
        if step == 0:
            for path in masks.layers:
                masks.put_largest({path: torch.rand(masks.weight(path).shape)}, self.density)
            return
        end = self.until * steps
        if step % self.every or step >= end:
            return
        gradients()
        part = self.alpha / 2 * (1 + math.cos(math.pi * step / end))
        for path in masks.layers:
            weight, kept = masks.weight(path), masks.mask(path).bool()
            if weight.grad is None:
                raise CheckFailedError(f"rigl: layer {path} takes no part in the loss: it has no gradient")
            masks.put(path, moved(weight.detach(), weight.grad, kept, part))


def moved(weight: torch.Tensor, gradient: torch.Tensor, kept: torch.Tensor, part: float) -> torch.Tensor:
    """The next mask: as many kept as before, ``part`` of them anew."""
    flat = kept.flatten()
    count = min(round(part * int(flat.sum())), int((~flat).sum()))
    smallest = weight.abs().flatten().masked_fill(~flat, torch.inf).argsort(stable=True)[:count]
    largest = gradient.abs().flatten().masked_fill(flat, -torch.inf).argsort(descending=True, stable=True)[:count]
    made = flat.clone()
    made[smallest] = False
    made[largest] = True
    return made.reshape(kept.shape)
