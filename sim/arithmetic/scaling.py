"""Operands of a product on small codes under scale factors: the rules, in one place.

**Size of a scale factor.** The largest size among the numbers that share a factor, divided by the largest code that
they are to reach, in float32. It is never below the smallest normal float32: of tensors smaller than that, zeros too,
the factor is that number, and codes stay small. So no factor is zero, subnormal or infinite.

**Who shares one**, ``scaling``:

- ``tensor``: the whole operand with all of its stack.
- ``channel``: a row of A, a column of B.
- ``block``: ``block`` numbers next to each other along k, of one row or column, as in the OCP microscaling formats.
  Factors are then powers of two, rounded up, so that no code is cut off (the standard's own example rounds down and
  cuts off). The last block may be shorter.

**Rounding.** A number divided by its factor, in float32, goes to the nearest code, ties to even; or by chance to one of
both neighbours (``rounding=stochastic``), with the bits of ``sim.units.chance`` at the number's index in its operand,
(s, row, k) of A and (s, column, k) of B, however it lies in memory.

**The result.** A sum of codes times both factors, in binary64, rounded to float32; beyond its largest number infinite.
With blocks this is done to the sum of each pair of blocks, which an accumulator starts from zero; then they are added
in float32 in their order, the first being where that starts. Powers of two change nothing but exponents.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from siloom.sim.arithmetic import Singles
from siloom.sim.errors import InputError
from siloom.sim.units.operand_rounding import NOT_FINITE, largest_pattern
from siloom.sim.units.panels import flat_view, shaped

SCALINGS = ("tensor", "channel", "block")
UNSCALED = "none"
"""What stands in the place of those for formats that need no factors."""
_SMALLEST = np.float32(2.0**-126)

Round = Callable[[Singles, np.float32, Singles], int]
"""Flat numbers, one factor, where the codes go -> how many were cut off."""


class Coded(NamedTuple):
    """An operand (s, lines, k): A, or B with its last axes exchanged."""

    codes: Singles
    scales: Singles
    """(s, lines, blocks), or less where an axis shares one: then that axis is 1 long."""
    clipped: int


def coded(x: Singles, top: float, scaling: str, block: int, to_codes: Round, by_chance: bool, name: str) -> Coded:
    """An operand (s, lines, k) as codes of size up to ``top``.

    Raises:
        InputError: numbers that are not finite, named by ``name``.
    """
    flat, order = flat_view(np.ascontiguousarray(x) if by_chance else x)
    largest = int(largest_pattern(flat.view(np.int32)))
    if largest >= NOT_FINITE:
        raise InputError(f"{name} must hold finite numbers only, got {_first_wrong(x)}")
    if scaling in ("tensor", UNSCALED):
        size = np.full((1, 1, 1), largest, np.int32).view(np.float32)
        scales = _scale(size, top) if scaling == "tensor" else np.ones_like(size)
        codes = np.empty_like(flat)
        clipped = to_codes(flat, scales[0, 0, 0], codes)
        return Coded(shaped(codes, x.shape, order), scales, clipped)
    width = block if scaling == "block" else max(x.shape[2], 1)
    sizes = np.abs(x)
    starts = np.arange(0, max(x.shape[2], 1), width)
    found = np.maximum.reduceat(sizes, starts, axis=2) if sizes.size else np.zeros((*x.shape[:2], len(starts)))
    scales = _scale(found.astype(np.float32), top)
    if scaling == "block":
        scales = _power_above(scales)
    quotients = x / np.repeat(scales, width, axis=2)[:, :, : x.shape[2]]
    flat, order = flat_view(quotients)
    clipped = to_codes(flat, np.float32(1), flat)
    return Coded(shaped(flat, x.shape, order), scales, clipped)


def _scale(largest: Singles, top: float) -> Singles:
    found: Singles = np.maximum(largest / np.float32(top), _SMALLEST)
    return found


def _power_above(scales: Singles) -> Singles:
    """The power of two that is not below."""
    fraction, exponent = np.frexp(scales)
    found: Singles = np.ldexp(np.float32(1), exponent - (fraction == 0.5))
    return found


def _first_wrong(x: Singles) -> str:
    place = np.argwhere(~np.isfinite(x))[0]
    return f"{x[tuple(place)]} at {tuple(int(p) for p in place)}"
