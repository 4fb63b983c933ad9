"""Rates that follow the ratio of a layer's weights to its gradients, for large batches: LARS and LAMB."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from siloom.workloads.torch.optimizer import Optimizer, decay, package, rate, share

_LARS = "You et al. 2017, arXiv 1708.03888"
_LAMB = "You et al. 2020, arXiv 1904.00962"


@dataclass(frozen=True, kw_only=True)
class Lars(Optimizer):
    """Momentum, the gradient of each matrix scaled by ``trust`` times the norm of its weights over its own."""

    name = "lars"
    summary = "momentum with a rate for every layer"

    lr: float = rate(1.0)
    momentum: float = decay(0.9, _LARS)
    trust: float = share(0.02)
    weight_decay: float = share(0.0)

    def make(self, weights: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """The package's."""
        made: torch.optim.Optimizer = package(self.name).LARS(
            weights,
            lr=self.lr,
            momentum=self.momentum,
            trust_coefficient=self.trust,
            weight_decay=self.weight_decay,
        )
        return made


@dataclass(frozen=True, kw_only=True)
class Lamb(Optimizer):
    """Adam, the step of each tensor scaled by the norm of its weights over the step's own."""

    name = "lamb"
    summary = "Adam with a rate for every layer"

    lr: float = rate(0.005)
    beta1: float = decay(0.9, _LAMB)
    beta2: float = decay(0.999, _LAMB)
    weight_decay: float = share(0.0)

    def make(self, weights: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """The package's."""
        made: torch.optim.Optimizer = package(self.name).Lamb(
            weights, lr=self.lr, betas=(self.beta1, self.beta2), weight_decay=self.weight_decay
        )
        return made
