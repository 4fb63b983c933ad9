"""Lion: steps of equal size, whose signs come from a mean of gradients."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from siloom.workloads.torch.optimizer import Optimizer, decay, package, rate, share

_LION = "Chen et al. 2023, arXiv 2302.06675"


@dataclass(frozen=True, kw_only=True)
class Lion(Optimizer):
    """One state a weight, and no division."""

    name = "lion"
    summary = "signs of a mean of gradients"

    lr: float = rate(0.0003)
    beta1: float = decay(0.9, _LION)
    beta2: float = decay(0.99, _LION)
    weight_decay: float = share(0.0)

    def make(self, weights: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """The package's."""
        made: torch.optim.Optimizer = package(self.name).Lion(
            weights, lr=self.lr, betas=(self.beta1, self.beta2), weight_decay=self.weight_decay
        )
        return made
