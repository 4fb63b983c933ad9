"""Rates of their own for every weight, from the squares of its gradients: Adagrad, RMSProp, Adam, AdamW."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from siloom.workloads.torch.optimizer import Optimizer, decay, rate, share

_ADAM = "Kingma and Ba 2015, arXiv 1412.6980"
_ADAMW = "Loshchilov and Hutter 2019, arXiv 1711.05101"


@dataclass(frozen=True, kw_only=True)
class Adagrad(Optimizer):
    """Squares add up for ever (Duchi et al. 2011)."""

    name = "adagrad"
    summary = "rates fall with the sum of squared gradients"

    def make(self, weights: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """Torch's."""
        return torch.optim.Adagrad(weights, lr=self.lr)


@dataclass(frozen=True, kw_only=True)
class RmsProp(Optimizer):
    """Squares decay (Hinton's lectures, 2012)."""

    name = "rmsprop"
    summary = "rates follow the mean of recent squared gradients"

    lr: float = rate(0.001)
    alpha: float = decay(0.99)

    def make(self, weights: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """Torch's, without momentum."""
        return torch.optim.RMSprop(weights, lr=self.lr, alpha=self.alpha)


@dataclass(frozen=True, kw_only=True)
class Adam(Optimizer):
    """Means of gradients and of their squares, both decaying; weight decay is part of the gradient."""

    name = "adam"
    summary = "means of gradients over the root of means of squares"

    lr: float = rate(0.001)
    beta1: float = decay(0.9, _ADAM)
    beta2: float = decay(0.999, _ADAM)
    weight_decay: float = share(0.0)

    def make(self, weights: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """Torch's."""
        return torch.optim.Adam(weights, lr=self.lr, betas=(self.beta1, self.beta2), weight_decay=self.weight_decay)


@dataclass(frozen=True, kw_only=True)
class AdamW(Optimizer):
    """Adam whose weight decay acts on the weights themselves."""

    name = "adamw"
    summary = "Adam with weight decay of its own"

    lr: float = rate(0.001)
    beta1: float = decay(0.9, _ADAM)
    beta2: float = decay(0.999, _ADAM)
    weight_decay: float = share(0.01, _ADAMW)

    def make(self, weights: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """Torch's."""
        return torch.optim.AdamW(weights, lr=self.lr, betas=(self.beta1, self.beta2), weight_decay=self.weight_decay)
