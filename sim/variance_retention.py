"""How many bits of mantissa a long sum needs: the prediction of Sakr et al. (ICLR 2019, arXiv 1901.06588).

A sum of n products grows like a random walk. Once it is 2^m times as large as a product, with m the bits of mantissa
that the accumulator has, products are swamped: the sum moves no more. The variance that is left of the full sum's, by
which the signal is judged, is the variance retention ratio. Recalled, and derived again here for full swamping alone:
the paper's further term, of products that lose some of their bits before, is left out, so the widths here are a lower
bound of the paper's.

Walks that are simulated (the test does) keep more than the formula says where little is lost, 0.90 against 0.78 at 4
bits and 128 products, and less where much is, 0.28 against 0.57 at 3 bits and 256: it is a rule for the border between
enough and too little, and no more.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import erfc

from siloom.sim.errors import InputError

LIMIT = 50.0
"""Largest exp(n (1 - ratio)) at which the paper takes a width for enough (recalled)."""


def retention(mantissa_bits: int, length: int) -> float:
    """Variance of a sum of ``length`` products of mean 0 in the accumulator, over that of the full sum.

    The walk is stopped at its first step i whose size is beyond 2^m standard deviations of a product. With P_i the
    chance that a normal number of variance i is beyond, that is taken as P_i (1 - P_(i-1)): steps are treated as
    independent, and the chances then scaled to add up to 1, as the paper does.

    Raises:
        InputError: no bits or no products.
    """
    if mantissa_bits < 1 or length < 1:
        raise InputError(f"retention: bits and length must be at least 1, got {mantissa_bits} and {length}")
    steps = np.arange(1, length + 1, dtype=np.float64)
    beyond = erfc(2.0**mantissa_bits / np.sqrt(2 * steps))
    stopped = beyond[1:] * (1 - beyond[:-1])
    never = 1 - beyond[-1]
    weight = float(stopped.sum() + never)
    return float((steps[1:] * stopped).sum() + length * never) / (length * weight)


def enough(mantissa_bits: int, length: int) -> bool:
    """Whether the paper's rule takes the width for enough."""
    return length * (1 - retention(mantissa_bits, length)) < math.log(LIMIT)


def least_bits(length: int, most: int = 52) -> int:
    """The fewest bits of mantissa that are enough for sums of ``length`` products.

    Raises:
        InputError: not even ``most`` are.
    """
    for bits in range(1, most + 1):
        if enough(bits, length):
            return bits
    raise InputError(f"retention: {length} products need more than {most} bits of mantissa")
