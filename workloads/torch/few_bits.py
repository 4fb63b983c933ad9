"""Real numbers in a few bits each: every group of neighbours has a range of its own, and is rounded by chance.

A group's 2^bits levels lie evenly from its least number to its largest. A number becomes one of both levels around it,
each with the probability that leaves it what it was in the mean; the ends stay exact.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

_TINY = torch.finfo(torch.float32).tiny


class FewBits(NamedTuple):
    """A tensor so kept: codes, ``8 / bits`` to a byte, and each group's least number and distance of levels."""

    codes: torch.Tensor
    low: torch.Tensor
    step: torch.Tensor
    shape: torch.Size
    bits: int

    @property
    def nbytes(self) -> int:
        """Memory of all three."""
        return sum(part.nbytes for part in (self.codes, self.low, self.step))

    def real(self) -> torch.Tensor:
        """The numbers, float32, as they were rounded."""
        rows = unpacked(self.codes, self.bits).view(len(self.low), -1)
        return (rows * self.step + self.low).flatten()[: self.shape.numel()].view(self.shape)


def few_bits(x: torch.Tensor, bits: int, group: int) -> FewBits:
    """Round ``x``, of at least one number, with torch's generator.

    Args:
        x: float32 of any shape.
        bits: 1, 2, 4 or 8.
        group: numbers with a range in common, a multiple of 8.
    """
    flat = x.reshape(-1)
    if missing := -len(flat) % group:  # the last number again, which widens no range
        flat = torch.cat([flat, flat[-1:].expand(missing)])
    rows = flat.view(-1, group)
    low = rows.amin(1, keepdim=True)
    most = 2**bits - 1
    step = (rows.amax(1, keepdim=True) - low) / most
    places = (rows - low) / step.clamp(min=_TINY)
    codes = (places + torch.rand_like(places)).floor().clamp(max=most).to(torch.uint8)
    return FewBits(packed(codes, bits), low, step, x.shape, bits)


def packed(codes: torch.Tensor, bits: int) -> torch.Tensor:
    """Bytes of uint8 codes below 2^bits, ``8 / bits`` to each; their number is a multiple of that."""
    places = _places(bits)
    return (codes.view(-1, len(places)) * places).sum(1, dtype=torch.uint8)


def unpacked(made: torch.Tensor, bits: int) -> torch.Tensor:
    """The codes of such bytes."""
    codes: torch.Tensor = (made[:, None] // _places(bits)) & (2**bits - 1)
    return codes.flatten()


def _places(bits: int) -> torch.Tensor:
    """What a code at each place of a byte counts."""
    return torch.tensor([2**place for place in range(0, 8, bits)], dtype=torch.uint8)
