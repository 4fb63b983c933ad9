"""Transformers of both kinds: a decoder of tokens, and encoders of tokens and of patches of images.

Attention is torch's ``scaled_dot_product_attention``; norms come first in every block (Xiong et al. 2020), so that
training needs no long warm-up. Shapes: B examples, S places, D width, H heads.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from siloom.workloads.torch.networks.blocks import Blocks, ResidualBlock

SPREAD = 0.02
"""Standard deviation of embeddings at the start, as GPT-2 has it."""


class SelfAttention(nn.Module):
    """Every place looks at all, or at those before it and itself."""

    def __init__(self, width: int, heads: int, *, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """From (B, S, D) to (B, S, D)."""
        batch, places, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, places, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        y: torch.Tensor = self.out(seen.transpose(1, 2).reshape(batch, places, width))
        return y


class Block(ResidualBlock):
    """Attention, then two dense layers with GELU between them, each added to what came in."""

    def __init__(self, width: int, heads: int, *, causal: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads, causal=causal)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """From (B, S, D) to (B, S, D)."""
        x = x + self.attention(self.norm1(x))
        y: torch.Tensor = x + self.down(functional.gelu(self.up(self.norm2(x))))
        return y


class Decoder(nn.Module):
    """Tokens in, a score of every token for the next place out."""

    def __init__(
        self, vocabulary: int, places: int, *, width: int, layers: int, heads: int, remat: bool = False
    ) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(places, width)
        self.blocks = Blocks(*(Block(width, heads, causal=True) for _ in range(layers)), remat=remat)
        self.norm = nn.LayerNorm(width)
        self.scores = nn.Linear(width, vocabulary, bias=False)
        for table in (self.tokens, self.places):
            nn.init.normal_(table.weight, std=SPREAD)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """From (B, S) whole numbers to (B, S, vocabulary)."""
        x = self.tokens(tokens) + self.places.weight[: tokens.shape[1]]
        y: torch.Tensor = self.scores(self.norm(self.blocks(x)))
        return y


class TokenEncoder(nn.Module):
    """Tokens in, a score of every class out, taken at the first place; every place looks at all."""

    def __init__(
        self, vocabulary: int, places: int, classes: int, *, width: int, layers: int, heads: int, remat: bool = False
    ) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(places, width)
        self.blocks = Blocks(*(Block(width, heads, causal=False) for _ in range(layers)), remat=remat)
        self.norm = nn.LayerNorm(width)
        self.scores = nn.Linear(width, classes)
        for table in (self.tokens, self.places):
            nn.init.normal_(table.weight, std=SPREAD)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """From (B, S) whole numbers to (B, classes)."""
        x = self.blocks(self.tokens(tokens) + self.places.weight[: tokens.shape[1]])
        y: torch.Tensor = self.scores(self.norm(x[:, 0]))
        return y


class PatchEncoder(nn.Module):
    """A small ViT: square patches of an image as tokens; their mean is classified (Dosovitskiy et al. 2021)."""

    def __init__(
        self, side: int, patch: int, classes: int, *, width: int, layers: int, heads: int, remat: bool = False
    ) -> None:
        super().__init__()
        self.patch = patch
        self.embed = nn.Linear(patch * patch, width)
        self.places = nn.Parameter(SPREAD * torch.randn((side // patch) ** 2, width))
        self.blocks = Blocks(*(Block(width, heads, causal=False) for _ in range(layers)), remat=remat)
        self.norm = nn.LayerNorm(width)
        self.scores = nn.Linear(width, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """From (B, side, side) to (B, classes)."""
        size = self.patch
        cut = images.unfold(1, size, size).unfold(2, size, size).reshape(len(images), -1, size * size)
        x = self.blocks(self.embed(cut) + self.places)
        y: torch.Tensor = self.scores(self.norm(x).mean(1))
        return y
