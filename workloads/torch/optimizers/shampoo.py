"""Shampoo: gradients between roots of matrices that add up their products with themselves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from siloom.sim.design import parameter
from siloom.workloads.torch.optimizer import Optimizer, package, rate
from siloom.workloads.torch.optimizers.sm3 import without_buffers

_SHAMPOO = "Gupta et al. 2018, arXiv 1802.09568"


@dataclass(frozen=True, kw_only=True)
class Shampoo(Optimizer):
    """W less the rate times L^-1/4 G R^-1/4, where L adds up G G' and R adds up G' G.

    Of n times m weights the package keeps n^2 + m^2 numbers of L and R, which begin as ``epsilon`` times the identity,
    and as many of their roots, computed anew at every step from singular values. Tensors of k axes have k matrices and
    2k-th roots. The paper's momentum is left out; roots less often than at every step are, too, because the package's
    weights would stand still until the first.
    """

    name = "shampoo"
    summary = "gradients preconditioned on both sides by matrix roots"

    lr: float = rate(0.3)
    epsilon: float = parameter(1e-4, unit="", source=_SHAMPOO, status="assumed", low=1e-12, high=1e3)

    def make(self, weights: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """The package's."""
        made: torch.optim.Optimizer = package(self.name).Shampoo(weights, lr=self.lr, matrix_eps=self.epsilon)
        made.register_step_post_hook(without_buffers)
        return made
