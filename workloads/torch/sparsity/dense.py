"""No sparsity: what the methods are compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from siloom.workloads.torch.masks import Masks
from siloom.workloads.torch.sparse import Sparsity


@dataclass(frozen=True, kw_only=True)
class Dense(Sparsity):
    """Weights are left as they are; not even a mask of ones is laid."""

    name = "dense"
    summary = "every weight is kept"
    masked = False
    endless = True

    def update(self, masks: Masks, step: int, steps: int, gradients: Callable[[], None]) -> None:
        """Nothing."""
