"""Floating-point numbers in integer arithmetic, step by step as an adder does it.

Inline kernels that other units build on; no floating-point instruction of the host is used. A format
is a :data:`Layout`; a finite number is a sign, a significand and an exponent, its value
``significand * 2**exponent``.

What holds everywhere:

- One rounding, to nearest, ties to even. Subnormals are kept, on both sides.
- Overflow is judged after rounding with an unbounded exponent. Beyond the largest number lies infinity,
  or NaN in a format without infinities; with ``saturate`` the largest number, of the right sign.
- ``saturate`` is a rule of rounding: an infinity among the operands stays one where the format has it.
- Every NaN that comes out is one pattern: positive, and quiet in IEEE 754's sense.
- A sum that is exactly zero is positive, unless both summands are negative zeros.
"""

from __future__ import annotations

import numpy as np

from siloom.sim.contract import Codes, Float
from siloom.sim.jit import inline_kernel, kernel

Layout = tuple[int, int, int]
"""Exponent bits, mantissa bits, and 1 where the highest exponent holds numbers (:class:`Float`'s ``finite``)."""

Number = tuple[int, int, int, int]
"""Negative (0 or 1), significand, exponent, kind; the two in the middle count in a finite number only."""

FINITE, INFINITE, NOT_A_NUMBER = 0, 1, 2
_LEADING = 61
"""Place of a summand's leading one: the sum of two such significands still fits an int64."""


def layout(form: Float) -> Layout:
    """A format as kernels take it."""
    return (form.exponent_bits, form.mantissa_bits, int(form.finite))


@inline_kernel
def unpack(code: int, form: Layout) -> Number:
    """The number that a code stands for."""
    exponent_bits, mantissa_bits, finite = form
    full = (1 << mantissa_bits) - 1
    top = (1 << exponent_bits) - 1
    mantissa = code & full
    field = (code >> mantissa_bits) & top
    negative = (code >> (exponent_bits + mantissa_bits)) & 1
    if field == top and (not finite or mantissa == full):
        return negative, 0, 0, NOT_A_NUMBER if finite or mantissa else INFINITE
    lowest = 2 - (1 << (exponent_bits - 1)) - mantissa_bits  # exponent of the smallest subnormal
    if field == 0:
        return negative, mantissa, lowest, FINITE
    return negative, mantissa | (1 << mantissa_bits), lowest + field - 1, FINITE


@inline_kernel
def leading_one_to(place: int, significand: int, exponent: int) -> tuple[int, int]:
    """The same number with its leading one at ``place`` (at most 62); the significand is not 0."""
    for step in (32, 16, 8, 4, 2, 1):
        if significand < 1 << (place + 1 - step):
            significand <<= step
            exponent -= step
    return significand, exponent


@inline_kernel
def multiply(a: Number, b: Number) -> Number:
    """The exact product; both significands together have at most 62 bits."""
    negative = a[0] ^ b[0]
    if a[3] == NOT_A_NUMBER or b[3] == NOT_A_NUMBER:
        return negative, 0, 0, NOT_A_NUMBER
    if a[3] == INFINITE or b[3] == INFINITE:
        zero = (a[3] == FINITE and a[1] == 0) or (b[3] == FINITE and b[1] == 0)
        return negative, 0, 0, NOT_A_NUMBER if zero else INFINITE
    return negative, a[1] * b[1], a[2] + b[2], FINITE


@inline_kernel
def add(a: Number, b: Number) -> Number:
    """The sum, good for one rounding to at most 53 bits: what is shifted out is kept as one sticky bit."""
    if a[3] == NOT_A_NUMBER or b[3] == NOT_A_NUMBER:
        return 0, 0, 0, NOT_A_NUMBER
    if a[3] == INFINITE or b[3] == INFINITE:
        opposed = a[3] == b[3] and a[0] != b[0]
        return a[0] if a[3] == INFINITE else b[0], 0, 0, NOT_A_NUMBER if opposed else INFINITE
    if a[1] == 0 and b[1] == 0:
        return a[0] & b[0], 0, 0, FINITE
    if a[1] == 0:
        return b
    if b[1] == 0:
        return a
    large, large_exponent = leading_one_to(_LEADING, a[1], a[2])
    small, small_exponent = leading_one_to(_LEADING, b[1], b[2])
    negative, other = a[0], b[0]
    if large_exponent < small_exponent:
        large, small = small, large
        large_exponent, small_exponent = small_exponent, large_exponent
        negative, other = other, negative
    shift = min(large_exponent - small_exponent, _LEADING + 1)
    aligned = small >> shift
    # The sticky bit. A difference loses more than one leading bit only where nothing was shifted out.
    aligned |= int(aligned << shift != small)
    if negative == other:
        return negative, large + aligned, large_exponent, FINITE
    difference = large - aligned
    if difference == 0:
        return 0, 0, 0, FINITE
    if difference < 0:
        return other, -difference, large_exponent, FINITE
    return negative, difference, large_exponent, FINITE


@inline_kernel
def pack(number: Number, form: Layout, saturate: bool) -> int:
    """The code nearest to a number, ties to even."""
    negative, significand, exponent, kind = number
    exponent_bits, mantissa_bits, finite = form
    sign = negative << (exponent_bits + mantissa_bits)
    infinity = ((1 << exponent_bits) - 1) << mantissa_bits
    nan = infinity + ((1 << mantissa_bits) - 1 if finite else 1 << (mantissa_bits - 1))
    largest = nan - 1 if finite else infinity - 1
    if kind == NOT_A_NUMBER:
        return nan
    if kind == INFINITE:
        if not finite:
            return sign | infinity
        return sign | largest if saturate else nan
    if significand == 0:
        return sign
    significand, exponent = leading_one_to(_LEADING + 1, significand, exponent)
    # The last place kept lies mantissa_bits below the leading one, or where all subnormals have it.
    lowest = 2 - (1 << (exponent_bits - 1)) - mantissa_bits
    last = max(exponent + _LEADING + 1 - mantissa_bits, lowest)
    drop = last - exponent
    kept = 0
    if drop <= _LEADING + 2:  # beyond that the number is below half of the last place
        kept = significand >> drop
        rest = significand - (kept << drop)
        half = 1 << (drop - 1)
        if rest > half or (rest == half and kept & 1):
            kept += 1
    # A leading one, kept or carried into, adds one to the exponent's field.
    pattern = ((last - lowest) << mantissa_bits) + kept
    if pattern <= largest:
        return sign | pattern
    if saturate:
        return sign | largest
    return nan if finite else sign | infinity


@kernel
def convert(codes: Codes, source: Layout, target: Layout, saturate: bool) -> Codes:
    """Codes of one format, (n,) -> codes of the nearest numbers in another."""
    found = np.empty(len(codes), np.int64)
    for i in range(len(codes)):
        found[i] = pack(unpack(codes[i], source), target, saturate)
    return found
