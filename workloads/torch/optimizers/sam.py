"""SAM: the gradient is taken a little uphill of the weights, where the loss is sharp."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from siloom.sim.design import parameter
from siloom.workloads.torch.optimizer import Optimizer, decay, package, rate


@dataclass(frozen=True, kw_only=True)
class Sam(Optimizer):
    """Momentum by the gradient at the weights plus ``rho`` along their gradient: two gradients a step."""

    name = "sam"
    summary = "momentum by the gradient of the sharpest place nearby; two gradients a step"
    gradients = 2

    lr: float = rate(0.02)
    momentum: float = decay(0.9)
    rho: float = parameter(
        0.05, unit="", source="Foret et al. 2021, arXiv 2010.01412", status="recalled", low=0.0, high=10.0
    )

    def make(self, weights: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """The package's, around torch's SGD."""
        made: torch.optim.Optimizer = package(self.name).SAM(
            weights, torch.optim.SGD, rho=self.rho, lr=self.lr, momentum=self.momentum
        )
        return made
