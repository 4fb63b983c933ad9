"""What approximate multipliers of 8-bit numbers give instead of products, as tables.

All here are of sizes with the sign put on afterwards, so a table is 128 x 128 whole numbers: of sizes 0 to 127.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[np.int64]

SIZES = 128


def mitchell() -> Table:
    """Sums of logarithms, each a straight line between powers of two (Mitchell, IRE Trans. EC-11, 1962).

    With a = 2^p (1 + x) and b = 2^q (1 + y): 2^(p+q) (1 + x + y) where x + y < 1, else 2^(p+q+1) (x + y), whole numbers
    both. Never above the product, and below it by 1/9 at most.
    """
    size = np.arange(SIZES)
    power = 1 << _highest(size)
    a, b, at, bt = size[:, None], size, power[:, None], power
    linear = a * bt + b * at - at * bt
    found = np.where(linear < 2 * at * bt, linear, 2 * (linear - at * bt))
    return np.where((a == 0) | (b == 0), 0, found)


def drum(kept: int) -> Table:
    """Products of ``kept`` bits of each, from the highest one on (DRUM: Hashemi, Bahar, Reda, ICCAD 2015).

    The lowest bit kept is set, so that an operand is right in the mean, but for a half. Smaller numbers are exact.
    """
    size = np.arange(SIZES)
    shift = np.maximum(_highest(size) - kept + 1, 0)
    short = np.where(shift > 0, ((size >> shift) | 1) << shift, size)
    return np.multiply.outer(short, short)


def truncated(dropped: int) -> Table:
    """Products without the partial products of their lowest ``dropped`` columns, and nothing in their place."""
    size = np.arange(SIZES)
    bits = (size[:, None] >> np.arange(7)) & 1
    found = np.zeros((SIZES, SIZES), np.int64)
    for i in range(7):
        for j in range(7):
            if i + j >= dropped:
                found += np.multiply.outer(bits[:, i], bits[:, j]) << (i + j)
    return found


def signed(sizes: Table) -> Table:
    """A table of sizes as one of 256 x 256: row a + 128, column b + 128, of codes from -127 to 127."""
    code = np.arange(-128, 128)
    size = np.minimum(np.abs(code), SIZES - 1)  # the most negative code never comes
    found: Table = np.multiply.outer(np.sign(code), np.sign(code)) * sizes[np.ix_(size, size)]
    return found


def _highest(size: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Place of the highest bit of whole numbers; 0 of 0."""
    return np.frexp(np.maximum(size, 1))[1].astype(np.int64) - 1
