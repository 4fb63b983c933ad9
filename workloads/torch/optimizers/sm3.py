"""SM3: squares of gradients bounded by one number a row and one a column."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from siloom.workloads.torch.optimizer import Optimizer, decay, package, rate

_SM3 = "Anil et al. 2019, arXiv 1901.11150"


@dataclass(frozen=True, kw_only=True)
class Sm3(Optimizer):
    """Adagrad whose sums are the smaller of their row's and column's: n + m numbers for n times m weights.

    A vector, which has rows alone, keeps what Adagrad keeps. ``momentum`` is a mean of the steps, and another state of
    a number a weight.
    """

    name = "sm3"
    summary = "sums of squared gradients by rows and columns only"

    lr: float = rate(0.05)
    momentum: float = decay(0.0, _SM3)

    def make(self, weights: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """The package's."""
        made: torch.optim.Optimizer = package(self.name).SM3(weights, lr=self.lr, momentum=self.momentum)
        if not self.momentum:
            made.register_step_post_hook(without_buffers)
        return made


def without_buffers(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
    """Let go of buffers of momentum, which the package makes where nobody reads them, too."""
    for state in optimizer.state.values():
        state.pop("momentum_buffer", None)
