"""Rounding to any small format by the host's own binary64, proved to be what the hardware does.

The integer kernels of ``floats`` say what is right; these say it faster, in loops that the compiler
turns into vector instructions. All hosts that numba compiles for have IEEE 754 arithmetic, rounding to
nearest, so each claim here is a theorem about that standard, and the tests hold it to the integers.

**Rounding a binary64.** Adding ``1.5 * 2**(52 - m)`` times the power of two just below a number, and
subtracting it again, leaves ``m`` bits behind its leading one, ties to even. Below the normal range the
smallest normal's power is taken, which leaves the subnormals' places. See :func:`rounded`.

**Rounding a sum x + c** of a product x of at most 22 bits and an accumulator c of p = m + 1 <= 24. Were
it rounded to 53 bits and then to p, a tie could be made that was none. Let X be the larger of the two,
its leading one at 2**E, and Y the other. If the sum is not a binary64, Y has its lowest bit at
2**(E - 52) or below, so Y is below 2**(E - 28), while midpoints of the accumulator lie at least
2**(E - 25) from any number X on its grid: both roundings give X. An accumulator is on its grid. A
product is so if its width is at most p (below the normal range c would have no bit so low). Another
product needs c to reach down to 2**(E - 52), where E is at most one more than the accumulator's
largest: beyond, the sum overflows whatever c is. :func:`plain_sum_is_safe` is this condition. Where it
fails, :func:`odd_sum` rounds to odd first, after which a second rounding is always right (Boldo and
Melquiond, "Emulation of a FMA and correctly rounded sums: proved algorithms using rounding to odd",
IEEE Trans. Computers 57(4), 2008).

**Of the numbers that are there** the same is true with their own largest product and last place in the stead of those
of their formats (``extent``), which leaves more sums exact.

**FP32** is the accumulator of the host's own fused multiply-add in single precision: a factor of FP8, BF16 or FP16 is a
float32 without loss.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from siloom.sim.contract import Float
from siloom.sim.jit import inline_kernel, kernel

Rounding = tuple[float, float, float, float, float]
"""A format for :func:`rounded`: the factor that makes the magic number, the smallest normal number, the
power of two beyond the largest number, the largest, and what a size beyond it becomes."""

_EXPONENT = 0x7FF0_0000_0000_0000


def rounding(form: Float, saturate: bool) -> Rounding:
    """The numbers with which :func:`rounded` rounds to a format of at most 8 exponent and 23 mantissa bits."""
    top = (1 << form.exponent_bits) - (1 if form.finite else 2) - form.bias
    significand = (2 << form.mantissa_bits) - (2 if form.finite else 1)  # all ones, but in the top binade NaN's
    largest = math.ldexp(significand, top - form.mantissa_bits)
    beyond = math.nan if form.finite else math.inf
    return (
        1.5 * 2.0 ** (52 - form.mantissa_bits),
        2.0 ** (1 - form.bias),
        2.0 ** (top + 1),
        largest,
        largest if saturate else beyond,
    )


def plain_sum_is_safe(a: Float, b: Float, accumulator: Float) -> bool:
    """Whether a product's sum with an accumulator may be rounded to binary64 before it is rounded for good."""
    if a.mantissa_bits + b.mantissa_bits + 2 <= accumulator.mantissa_bits + 1:
        return True
    highest = sum(form.bias + 1 for form in (a, b)) + 1  # above the leading one of any product
    last = 1 - accumulator.bias - accumulator.mantissa_bits
    return min(highest, accumulator.bias + 1) - last <= 51


@intrinsic  # type: ignore[untyped-decorator]
def bits_of(typing: Any, value: Any) -> Any:
    """The pattern of a float64, as int64."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), emit


@intrinsic  # type: ignore[untyped-decorator]
def float_of(typing: Any, pattern: Any) -> Any:
    """The float64 of an int64 pattern."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), emit


@inline_kernel
def rounded(value: float, to: Rounding) -> float:
    """The nearest number of a format, ties to even; infinities, NaNs and the sign of a zero are kept."""
    factor, lowest, highest, largest, beyond = to
    power = float_of(bits_of(value) & _EXPONENT)
    power = power if power > lowest else lowest
    power = power if power < highest else highest  # also of an infinity or NaN
    magic = power * factor
    near = (value + magic) - magic
    near = beyond if largest < abs(near) < np.inf else near
    return float(np.copysign(near, value))


@inline_kernel
def odd_sum(x: float, y: float) -> float:
    """``x + y`` rounded to odd: of the two float64 about an inexact sum, the one whose last bit is 1."""
    total = x + y
    part = total - x
    error = (x - (total - part)) + (y - part)  # exact (Knuth); NaN where a summand is not finite
    pattern = bits_of(total)
    step = 1 if (error > 0) == (total > 0) else -1
    inexact = error > 0 or error < 0
    return float_of(pattern + step) if inexact and (pattern & 1) == 0 else total


@kernel
def all_in_format(values: npt.NDArray[np.float32], to: Rounding, infinite: bool) -> bool:
    """Whether every number of (n,) is one of a format, which has infinities where that is said."""
    wrong = 0
    for i in range(len(values)):
        value = np.float64(values[i])
        near = rounded(value, to)
        # A NaN is in every format; a size beyond the largest turned into another number, or into NaN.
        bad = value == value and (near != value or (not infinite and abs(value) == np.inf))
        wrong += 1 if bad else 0
    return wrong == 0


@kernel
def keeps_subnormals(smallest: npt.NDArray[np.float32]) -> bool:
    """Whether this thread's arithmetic does, given the smallest subnormal as an array of one.

    Switches exist that make a processor replace them by zero (torch's ``set_flush_denormal``).
    """
    return bool(smallest[0] * np.float32(2.0) > np.float32(0.0) and smallest[0] + smallest[0] > np.float32(0.0))
