"""Adafactor: squares of a matrix's gradients kept as one mean a row and one a column."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from siloom.workloads.torch.optimizer import Optimizer, rate, share


@dataclass(frozen=True, kw_only=True)
class Adafactor(Optimizer):
    """State of n + m numbers for n times m weights (Shazeer and Stern 2018, arXiv 1804.04235)."""

    name = "adafactor"
    summary = "squared gradients by rows and columns only"

    lr: float = rate(0.01)
    weight_decay: float = share(0.0)

    def make(self, weights: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """Torch's."""
        return torch.optim.Adafactor(weights, lr=self.lr, weight_decay=self.weight_decay)
