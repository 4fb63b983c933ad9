"""Matrix products of floating-point units by register tiles, and which of their steps gives the unit's bits.

Sums are held in single precision where one fused multiply-add there, rounded again to the accumulator's format, is the
unit's one rounding, or is so once it is rounded to odd; else in double, plainly or so. ``host_floats`` has the proof
for double; the same argument with 23 bits in the place of 52 is :func:`single_is_safe`. How large and how fine the
numbers are is looked up first (``extent``): what no sum of theirs can reach, no step needs to ask.

By chance: each sum is rounded to one of its neighbours, the farther from zero as often as it is near to it: the unit
``stochastic_rounding`` of 24 random bits. Those of step k of the sum at place n (counted over the whole result) are the
k-th of the stream that begins at the key's n-th word.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from siloom.sim.contract import FP16, FP32, Float
from siloom.sim.units.chance import CHANCE_BITS
from siloom.sim.units.extent import Extent, extent, extent_of_format, largest_sum, last_place
from siloom.sim.units.float_tile import (
    ANY,
    CHANCE,
    DEEP,
    DEEP_CHANCE,
    DEEP_ODD,
    DEEP_ODD_CHANCE,
    FUSED,
    HALF,
    HALF_ODD,
    ODD,
    ODD_CHANCE,
    SATURATE,
    SATURATE_ODD,
    SHALLOW,
)
from siloom.sim.units.float_tiles import Singles, float_tiles
from siloom.sim.units.fp_mac import FpMac
from siloom.sim.units.host_floats import keeps_subnormals, plain_sum_is_safe, rounding
from siloom.sim.units.panels import operand
from siloom.sim.units.register_tile import ROWS, columns_of

_SMALLEST = np.array([1], np.int32).view(np.float32)
_ONE = np.ones((1, 1, 1), np.float32)
_SINGLE_BITS, _SINGLE_TOP, _DOUBLE_BITS = 23, 127, 52


class Step(NamedTuple):
    """A kind of ``float_tile``'s steps and the type of its sums."""

    kind: int
    single: bool


def _most(products: Extent, total: float, form: Float, steps: int, by_chance: bool) -> float:
    """No sum, however each step is rounded, is larger; sizes of its products add up to at most ``total``."""
    place = 2.0**-form.mantissa_bits
    grown = total * math.exp(min(steps * place, 700.0))
    # A sum so much larger than every product is moved by none, but by chance.
    return grown if by_chance else min(grown, products.largest * 8 / place)


def single_is_safe(design: FpMac, products: Extent) -> bool:
    """Whether sums may be rounded to single precision before they are rounded to the accumulator's format."""
    form = design.accumulator
    width, own = design.a.mantissa_bits + design.b.mantissa_bits + 2, form.mantissa_bits + 1
    highest = math.frexp(products.largest)[1]
    return (
        width + own + 1 <= _SINGLE_BITS
        and 2 * own + 1 <= _SINGLE_BITS
        # A product on the accumulator's grid, or one whose sum with what reaches down to its last place is exact.
        and (width <= own or min(highest, form.bias + 1) - max(last_place(form), products.place) < _SINGLE_BITS)
        # No subnormals of single precision.
        and products.place > -_SINGLE_TOP
    )


def single_odd_is_safe(design: FpMac, products: Extent) -> bool:
    """Whether sums may be rounded to odd in single precision before they are rounded to the accumulator's format.

    Products must be exact there, and two places more than the accumulator's be left.
    """
    return (
        design.accumulator.mantissa_bits + 2 <= _SINGLE_BITS
        and design.a.mantissa_bits + design.b.mantissa_bits + 1 <= _SINGLE_BITS
        and products.place >= last_place(FP32)
    )


def step_of(design: FpMac, products: Extent, total: float, steps: int, by_chance: bool) -> Step:
    """The cheapest step that gives the unit's bits in sums of at most so many such products.

    ``total`` is what the sizes of a sum's products come to at most.
    """
    form, end = design.accumulator, extent_of_format(design.accumulator)
    most = _most(products, total, form, steps, by_chance)
    deep = end.place <= products.place and most <= end.largest
    held = min(most, end.largest)
    # Sums and products are whole multiples of the smallest product: below 2**53 of those none is rounded.
    exact = held + products.largest < 2.0 ** (_DOUBLE_BITS + 1 + products.place)
    if by_chance and deep:
        return Step(DEEP_CHANCE if exact else DEEP_ODD_CHANCE, False)
    if by_chance:
        return Step(CHANCE if exact else ODD_CHANCE, False)
    if form == FP32 and not design.saturate:
        return Step(FUSED, True)
    if design.saturate and not deep and not products.finite:
        return Step(ANY, False)
    plain, odd = (SATURATE, SATURATE_ODD) if design.saturate else (SHALLOW, ODD)
    if deep:
        plain, odd = DEEP, DEEP_ODD
    # Magic numbers are made of a sum's exponent, or of that of the smallest normal number.
    magic = 2.0 ** (_SINGLE_BITS - form.mantissa_bits + 1)
    if (deep or form.exponent_bits < FP32.exponent_bits) and (held + products.largest) * magic < 2.0**_SINGLE_TOP:
        single = single_is_safe(design, products)
        if form == FP16 and not design.saturate:
            plain_single, odd_single = HALF, HALF_ODD
        else:
            plain_single, odd_single = plain, odd
        if single or single_odd_is_safe(design, products):
            return Step(plain_single if single else odd_single, True)
    if not exact and not plain_sum_is_safe(design.a, design.b, form):
        return Step(odd, False)
    return Step(plain, False)


def float_gemm(
    a: Singles,
    b: Singles,
    design: FpMac,
    *,
    chunk: int = 0,
    outer: Float = FP32,
    a_scales: Singles = _ONE,
    b_scales: Singles = _ONE,
    key: int | None = None,
) -> tuple[Singles, int]:
    """A (s, m, k) times B (s or 1, k, n) times scale factors, and how many sums left their range.

    Args:
        a: numbers of ``design.a`` held in float32, of any strides; not checked.
        b: numbers of ``design.b``, likewise.
        design: the unit.
        chunk: products between clears of the accumulator; 0: none.
        outer: format in which chunks are added; FP32 where scale factors are one a chunk.
        a_scales: (s or 1, m or 1, 1 or chunks).
        b_scales: (s or 1, n or 1, 1 or chunks).
        key: of the chance by which sums are rounded; None: to nearest.

    Raises:
        RuntimeError: this thread's processor replaces subnormals by zero, which no format here allows.
    """
    if not keeps_subnormals(_SMALLEST):
        raise RuntimeError("fp_gemm: this thread's processor flushes subnormals to zero, which changes results")
    out = np.zeros((a.shape[0], a.shape[1], b.shape[2]), np.float32)
    inner = a.shape[2]
    if not inner:
        return out, 0
    length = min(chunk or inner, inner)
    x, y = operand(a), operand(b.transpose(0, 2, 1))
    products = extent(x.flat, design.a).times(extent(y.flat, design.b))
    total = length * products.largest
    if products.finite and total > extent_of_format(design.accumulator).largest:
        total = min(total, largest_sum(a, b.transpose(0, 2, 1)))
    kind, single = step_of(design, products, total, length, key is not None)
    real: Any = np.float32 if single else np.float64
    whole: Any = np.int32 if single else np.int64
    room = ROWS * columns_of(np.dtype(real).itemsize)
    beyond = float_tiles(
        kind, x, y, length, _constants(design, single),
        rounding(outer, design.saturate), outer == FP32 and not design.saturate, bool(chunk), np.uint64(key or 0),
        a_scales, b_scales, np.empty(room, real), np.empty(room, whole), out.reshape(-1),
    )  # fmt: skip
    return out, beyond


def _constants(design: FpMac, single: bool) -> tuple[Any, ...]:
    form = design.accumulator
    to = list(rounding(form, design.saturate))
    if not single:
        magic = ((_DOUBLE_BITS - form.mantissa_bits) << _DOUBLE_BITS) | 1 << (_DOUBLE_BITS - 1)
        shift = _DOUBLE_BITS - form.mantissa_bits - CHANCE_BITS
        return (*to, *(_held(np.array(pattern, np.int64).view(np.float64)) for pattern in (magic, shift)))
    to[0] *= 2.0 ** (_SINGLE_BITS - _DOUBLE_BITS)
    pattern = np.array(((_SINGLE_BITS - form.mantissa_bits) << _SINGLE_BITS) | 1 << (_SINGLE_BITS - 1), np.int32).view(
        np.float32
    )
    with np.errstate(over="ignore"):
        return (*(np.float32(x) for x in to), np.float32(pattern), np.float32(0))


def _held(x: npt.NDArray[np.float64]) -> float:
    return float(x)
