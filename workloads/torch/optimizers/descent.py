"""Stochastic gradient descent: plain, with Polyak's momentum, and with Nesterov's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from siloom.workloads.torch.optimizer import Optimizer, decay, rate, share


@dataclass(frozen=True, kw_only=True)
class Sgd(Optimizer):
    """Weights less the rate times the gradient: no state."""

    name = "sgd"
    summary = "plain gradient descent"

    weight_decay: float = share(0.0)

    def make(self, weights: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """Torch's."""
        return torch.optim.SGD(weights, lr=self.lr, weight_decay=self.weight_decay)


@dataclass(frozen=True, kw_only=True)
class Momentum(Optimizer):
    """Gradients add up in a buffer that decays."""

    name = "momentum"
    summary = "gradient descent with momentum"

    lr: float = rate(0.02)
    momentum: float = decay(0.9)
    weight_decay: float = share(0.0)

    def make(self, weights: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """Torch's SGD with momentum."""
        return torch.optim.SGD(weights, lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay)


@dataclass(frozen=True, kw_only=True)
class Nesterov(Optimizer):
    """The gradient is looked up one step ahead along the buffer."""

    name = "nesterov"
    summary = "gradient descent with Nesterov's momentum"

    lr: float = rate(0.02)
    momentum: float = decay(0.9)
    weight_decay: float = share(0.0)

    def make(self, weights: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """Torch's SGD with Nesterov's momentum."""
        return torch.optim.SGD(
            weights, lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay, nesterov=self.momentum > 0
        )
