"""Matrix products of floating-point units by register tiles, and which of their steps gives the unit's bits.

Sums are held in single precision where one fused multiply-add there, rounded again to the accumulator's format, is the
unit's one rounding; else in double, else in double rounded to odd first. ``host_floats`` has the proof for double; the
same argument with 23 bits in the place of 52 is :func:`single_is_safe`.

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
from siloom.sim.units.float_tile import (
    CHANCE,
    DEEP,
    DEEP_CHANCE,
    DEEP_ODD_CHANCE,
    FUSED,
    HALF,
    ODD,
    ODD_CHANCE,
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


def last_place(form: Float) -> int:
    """Exponent of a format's smallest subnormal."""
    return 1 - form.bias - form.mantissa_bits


def _most(design: FpMac, steps: int, by_chance: bool) -> float:
    """No sum of so many products, however each step is rounded, is larger."""
    place = 2.0**-design.accumulator.mantissa_bits
    grown = steps * math.exp(min(steps * place, 700.0))
    # A sum so much larger than every product is moved by none, but by chance.
    return _largest(design) * (grown if by_chance else min(grown, 8 / place))


def _largest(design: FpMac) -> float:
    """The largest product of two numbers."""
    return rounding(design.a, True)[3] * rounding(design.b, True)[3]


def _exact(design: FpMac, steps: int, by_chance: bool) -> bool:
    """Whether every sum of an accumulator and a product is a number of double precision.

    Both are whole multiples of the smallest product, and of those below 2**53 none is rounded.
    """
    held = min(_most(design, steps, by_chance), rounding(design.accumulator, True)[3])
    return held + _largest(design) < 2.0 ** (_DOUBLE_BITS + 1 + last_place(design.a) + last_place(design.b))


def single_is_safe(design: FpMac) -> bool:
    """Whether sums may be rounded to single precision before they are rounded to the accumulator's format."""
    form = design.accumulator
    width, own = design.a.mantissa_bits + design.b.mantissa_bits + 2, form.mantissa_bits + 1
    lowest = last_place(design.a) + last_place(design.b)
    highest = design.a.bias + design.b.bias + 2 + own + 3
    return (
        width <= own
        and width + own + 1 <= _SINGLE_BITS
        and 2 * own + 1 <= _SINGLE_BITS
        # No subnormals of single precision and nothing beyond its range, magic numbers included.
        and lowest > -_SINGLE_TOP
        and highest < _SINGLE_TOP
        and (last_place(form) <= lowest or form.bias + 1 + 1 + _SINGLE_BITS - form.mantissa_bits < _SINGLE_TOP)
        # Below the accumulator's normal range sums are exact.
        and -form.bias - lowest < _SINGLE_BITS + 1
    )


def step_of(design: FpMac, steps: int, by_chance: bool) -> Step:
    """The cheapest step that gives the unit's bits in sums of at most so many steps."""
    form = design.accumulator
    deep = last_place(form) <= last_place(design.a) + last_place(design.b)
    deep = deep and _most(design, steps, by_chance) <= rounding(form, True)[3]
    exact = _exact(design, steps, by_chance)
    if by_chance and deep:
        return Step(DEEP_CHANCE if exact else DEEP_ODD_CHANCE, False)
    if by_chance:
        return Step(CHANCE if exact else ODD_CHANCE, False)
    if form == FP32 and not design.saturate:
        return Step(FUSED, True)
    single = single_is_safe(design)
    if form == FP16 and not design.saturate and single:
        return Step(HALF, True)
    if single and (deep or form.exponent_bits < FP32.exponent_bits):
        return Step(DEEP if deep else SHALLOW, True)
    if not exact and not plain_sum_is_safe(design.a, design.b, form):
        return Step(ODD, False)
    return Step(DEEP if deep else SHALLOW, False)


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
    kind, single = step_of(design, length, key is not None)
    real: Any = np.float32 if single else np.float64
    whole: Any = np.int32 if single else np.int64
    room = ROWS * columns_of(np.dtype(real).itemsize)
    beyond = float_tiles(
        kind, operand(a), operand(b.transpose(0, 2, 1)), length, _constants(design, single),
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
