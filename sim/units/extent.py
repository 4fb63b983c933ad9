"""How large the numbers of a tensor are, and how fine: what their products and sums can come to.

A format's own ends are rarely met: a product of two BF16 numbers may be 2**254 or 2**-266, those of a layer hardly ever
are. What is proved of the numbers that are there holds for cheaper steps than what is proved of the format.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from siloom.sim.contract import Float
from siloom.sim.jit import kernel
from siloom.sim.units.host_floats import rounding

_INFINITE = 0x7F80_0000
_SIZE = 0x7FFF_FFFF


class Extent(NamedTuple):
    """No finite number's size is above ``largest``, and all are whole multiples of ``2**place``."""

    largest: float
    place: int
    finite: bool
    """Whether all are: no infinity and no NaN."""

    def times(self, other: Extent) -> Extent:
        """Of all products of two numbers."""
        return Extent(self.largest * other.largest, self.place + other.place, self.finite and other.finite)


def last_place(form: Float) -> int:
    """Exponent of a format's smallest subnormal."""
    return 1 - form.bias - form.mantissa_bits


def extent_of_format(form: Float) -> Extent:
    """Of every number of a format."""
    return Extent(rounding(form, True)[3], last_place(form), False)


def extent(values: npt.NDArray[np.float32], form: Float) -> Extent:
    """Of numbers (n,) of a format; where some are not finite, that of the format."""
    largest, smallest = (int(pattern) for pattern in _ends(values.view(np.int32)))
    if largest >= _INFINITE:
        return extent_of_format(form)
    top = float(np.array(largest, np.int32).view(np.float32))
    # The exponent of the smallest number but zero; subnormals share that of the smallest normal one.
    exponent = max(smallest >> 23, 1) - 127
    return Extent(top, max(exponent - form.mantissa_bits, last_place(form)), True)


@kernel
def _ends(patterns: Any) -> Any:
    """The largest pattern and the smallest but zero, without their signs; 2**31 - 1 where all are zero."""
    largest, smallest = np.int32(0), np.uint32(_SIZE)
    for pattern in patterns:
        size = pattern & np.int32(_SIZE)
        largest = max(largest, size)
        # One less in the place of each, as a whole number without sign: that of zero is the largest.
        smallest = min(smallest, np.uint32(np.uint32(size) - np.uint32(1)))
    return largest, np.int32(min(smallest, np.uint32(_SIZE - 1))) + np.int32(1)


def largest_sum(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    """No sum of sizes of products of a line of A (s, m, k) and one of B (s, n, k) is larger (Cauchy and Schwarz).

    Squares are summed in single precision; what that loses of each and of their sum is added again.
    """
    found = 1.0
    for x in (a, b):
        steps = x.shape[2]
        with np.errstate(over="ignore", invalid="ignore"):
            squares = float(np.einsum("slk,slk->sl", x, x).max(initial=0))
        found *= math.sqrt(squares * (1 + steps * 2.0**-22) + steps * 2.0**-126)
    return found if math.isfinite(found) else math.inf
