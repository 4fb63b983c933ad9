"""A row of layers whose activations may be computed twice rather than kept, and layers that may be left out of it."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


class ResidualBlock(nn.Module):
    """A layer that adds what it computes to what came in: without it a network computes less, but of the same shape."""


class Blocks(nn.Sequential):
    """Layers one after another; with ``remat`` only what passes between them is kept for the backward pass."""

    def __init__(self, *blocks: nn.Module, remat: bool = False) -> None:
        super().__init__(*blocks)
        self.remat = remat

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The last one's output."""
        for block in self:
            again = self.remat and torch.is_grad_enabled()
            x = checkpoint(block, x, use_reentrant=False) if again else block(x)
        return x
