"""The smallest network in which attention recalls: a gated short convolution, then attention.

The convolution brings to each token those just before it, so that a value's place can hold its key; attention then
finds a key's value. That is the attention model of the Zoology study (arXiv 2312.04927; one layer of each kind, no
dense layers between, no embeddings of places) but for its long convolution and its dropout, which are left out.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from siloom.workloads.torch.networks.blocks import Blocks, ResidualBlock
from siloom.workloads.torch.networks.transformer import SPREAD, SelfAttention

_REACH = 3
"""Tokens that the convolution sees: this one and the two before it."""


class GatedConvolution(nn.Module):
    """A dense layer of each token times a convolution of each channel over a few tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.convolution = nn.Conv1d(width, width, _REACH, groups=width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """From (B, S, D) to (B, S, D); no token sees a later one."""
        seen = self.convolution(functional.pad(x.transpose(1, 2), (_REACH - 1, 0))).transpose(1, 2)
        y: torch.Tensor = self.out(self.gate(x) * seen)
        return y


class Residual(ResidualBlock):
    """A layer on what is normed, added to what came in."""

    def __init__(self, width: int, layer: nn.Module) -> None:
        super().__init__()
        self.norm, self.layer = nn.LayerNorm(width), layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of the same shape."""
        y: torch.Tensor = x + self.layer(self.norm(x))
        return y


class Recall(nn.Module):
    """Tokens in, a score of every token at every place out."""

    def __init__(self, vocabulary: int, *, width: int, layers: int, heads: int, remat: bool = False) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.tokens.weight, std=SPREAD)
        pairs = [(GatedConvolution(width), SelfAttention(width, heads, causal=True)) for _ in range(layers)]
        self.blocks = Blocks(*(Residual(width, layer) for pair in pairs for layer in pair), remat=remat)
        self.norm = nn.LayerNorm(width)
        self.scores = nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """From (B, S) whole numbers to (B, S, vocabulary)."""
        y: torch.Tensor = self.scores(self.norm(self.blocks(self.tokens(tokens))))
        return y
