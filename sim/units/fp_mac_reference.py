"""The floating-point multiply-accumulate in exact rational arithmetic, as plainly as can be said.

A second road to what ``floats`` and ``fp_mac`` compute with shifts and sticky bits: a code's value is a
fraction, an operation is that of fractions, and rounding picks a multiple of the last place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

from siloom.sim.contract import Float

Exact = Fraction | float
"""A fraction, or an infinity or NaN as ``float``."""


def nan_code(form: Float) -> int:
    """The one NaN that comes out: all ones without infinities, else the top mantissa bit alone."""
    ones = (1 << (form.bits - 1)) - 1
    return ones if form.finite else ones - ((1 << (form.mantissa_bits - 1)) - 1)


def is_negative(code: int, form: Float) -> bool:
    """Whether the sign bit is set."""
    return bool(code >> (form.bits - 1) & 1)


@lru_cache(maxsize=1024)
def power_of_two(exponent: int) -> Fraction:
    """Exactly."""
    return Fraction(2) ** exponent


@lru_cache(maxsize=1 << 16)
def value_of(code: int, form: Float) -> Exact:
    """What a code stands for; both zeros are 0."""
    size = code & ((1 << (form.bits - 1)) - 1)
    sign = -1 if is_negative(code, form) else 1
    if size > form.largest:
        return sign * math.inf if size == form.largest + 1 and not form.finite else math.nan
    field, mantissa = divmod(size, 1 << form.mantissa_bits)
    fraction = Fraction(mantissa, 1 << form.mantissa_bits)
    if field == 0:
        return sign * fraction * power_of_two(1 - form.bias)
    return sign * (1 + fraction) * power_of_two(field - form.bias)


def code_of(value: Exact, negative: bool, form: Float, saturate: bool) -> int:
    """The code nearest to ``abs(value)``, ties to even, with the sign that is asked for."""
    sign = int(negative) << (form.bits - 1)
    beyond = nan_code(form) if form.finite else sign | (form.largest + 1)
    if isinstance(value, float):
        if math.isnan(value):
            return nan_code(form)
        return sign | form.largest if form.finite and saturate else beyond
    size = abs(value)
    binade = size.numerator.bit_length() - size.denominator.bit_length()
    binade -= power_of_two(binade) > size  # now 2**binade <= size < 2**(binade + 1), if it is not zero
    last = power_of_two(max(binade, 1 - form.bias) - form.mantissa_bits)
    rounded = round(size / last) * last  # ``round`` takes ties to even
    if rounded > value_of(form.largest, form):
        return sign | form.largest if saturate else beyond
    code = 0
    for bit in reversed(range(form.bits - 1)):  # positive codes stand in the order of their values
        above = code | 1 << bit
        if above <= form.largest and value_of(above, form) <= rounded:
            code = above
    return sign | code


def product_of(a: int, b: int, a_form: Float, b_form: Float) -> tuple[Exact, bool]:
    """The exact product of two codes, and whether its sign is negative."""
    x, y = value_of(a, a_form), value_of(b, b_form)
    negative = is_negative(a, a_form) != is_negative(b, b_form)
    if isinstance(x, Fraction) and isinstance(y, Fraction):
        return x * y, negative
    if x == 0 or y == 0 or x != x or y != y:
        return math.nan, negative
    return -math.inf if negative else math.inf, negative


def sum_code(x: Exact, x_negative: bool, y: Exact, y_negative: bool, form: Float, saturate: bool) -> int:
    """The code of a sum, rounded once; the signs are those of zeros too."""
    both = isinstance(x, Fraction) and isinstance(y, Fraction)
    total: Exact = x + y if both else _with_special(x, y)
    negative = total < 0 or (total == 0 and x == 0 and x_negative and y_negative)
    return code_of(total, negative, form, saturate)


def _with_special(x: Exact, y: Exact) -> float:
    """The sum where at least one is an infinity or NaN."""
    if x != x or y != y or (math.isinf(x) and math.isinf(y) and (x < 0) != (y < 0)):
        return math.nan
    return float(x if math.isinf(x) else y)


def mac_reference(total: int, a: int, b: int, a_form: Float, b_form: Float, form: Float, saturate: bool) -> int:
    """The code of ``total + a * b`` in ``form``: the product exact, one rounding."""
    product, negative = product_of(a, b, a_form, b_form)
    return sum_code(value_of(total, form), is_negative(total, form), product, negative, form, saturate)


def dot_reference(
    a: Sequence[int],
    b: Sequence[int],
    a_form: Float,
    b_form: Float,
    form: Float,
    saturate: bool,
    chunk: int = 0,
    outer: Float | None = None,
) -> int:
    """The code of a dot product, in order from +0; with ``chunk`` and ``outer``, in chunks added up in ``outer``."""
    if not chunk or outer is None:
        total = 0
        for x, y in zip(a, b, strict=True):
            total = mac_reference(total, x, y, a_form, b_form, form, saturate)
        return total
    result = 0
    for start in range(0, len(a), chunk):
        part = dot_reference(a[start : start + chunk], b[start : start + chunk], a_form, b_form, form, saturate)
        result = sum_code(
            value_of(result, outer), is_negative(result, outer), value_of(part, form), is_negative(part, form),
            outer, saturate,
        )  # fmt: skip
    return result
