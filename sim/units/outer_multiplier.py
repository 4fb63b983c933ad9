"""Outer-product multiplier: one element of A times a row of B.

A stream of elements (index, value) of rows of B is turned into chunks of partial products (index,
product). The factor, an element of A, is taken once per chunk, with the chunk's first element, and
held until the next one. Indices are passed on untouched.

Products are IEEE 754 binary64, rounded to nearest, ties to even; subnormals are kept on both sides.
Infinities are ordinary operands. Every NaN that comes out, from a NaN or from zero times infinity,
is the one quiet NaN ``0x7ff8000000000000``: signs and payloads of NaNs are not carried on, because
processors differ in them.

No index arithmetic, no chunk lengths, no exception flags.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from siloom.sim.contract import FLAG, FP64, Answer, Codes, Contract, Port, Stream, Unit, Whole, as_code
from siloom.sim.design import Design, parameter
from siloom.sim.jit import inline_kernel, kernel

_CHOICE = "free choice of the design"

QUIET_NAN = 0x7FF8_0000_0000_0000
"""The code of every NaN that an fp64 unit gives."""

_INFINITY = 0x7FF0_0000_0000_0000


@dataclass(frozen=True, kw_only=True)
class OuterMultiplier(Design):
    """The size of one outer-product multiplier."""

    index_bits: int = parameter(32, unit="bit", source=_CHOICE, status="assumed", low=1, high=64)
    element_cycles: int = parameter(1, unit="cycles", source=_CHOICE, status="assumed", low=1, high=64)
    latency_cycles: int = parameter(4, unit="cycles", source=_CHOICE, status="assumed", low=1, high=64)


@inline_kernel
def codes_of(values: npt.NDArray[np.float64]) -> Codes:
    """The bit patterns of an array that is given up for them, every NaN as :data:`QUIET_NAN`."""
    codes = values.view(np.int64)
    for i in range(len(values)):
        if np.isnan(values[i]):
            codes[i] = QUIET_NAN
    return codes


@kernel
def multiply_stream(first: Codes, factor: Codes, value: Codes) -> Codes:
    """All beats from reset -> the code of each product.

    Every array is contiguous, with one entry per beat; ``first`` holds 0 or 1, the others fp64 codes.
    """
    factors = factor.view(np.float64)
    values = value.view(np.float64)
    products = np.empty(len(value), np.float64)
    held = 0.0
    for i in range(len(value)):
        if first[i]:
            held = factors[i]
        products[i] = held * values[i]
    return codes_of(products)


def exact_value(code: int) -> Fraction | float:
    """The value of an fp64 code: exact, or an infinity or NaN as ``float``."""
    exponent = code >> FP64.mantissa_bits & 0x7FF
    mantissa = code & (1 << FP64.mantissa_bits) - 1
    sign = -1 if code < 0 else 1
    if exponent == 0x7FF:
        return math.nan if mantissa else sign * math.inf
    significand = mantissa if exponent == 0 else mantissa | 1 << FP64.mantissa_bits
    return sign * significand * Fraction(2) ** (max(exponent, 1) - FP64.bias - FP64.mantissa_bits)


def nearest_code(value: Fraction | float, negative: bool) -> int:
    """The fp64 code nearest to ``abs(value)``, ties to even, with the sign that is asked for."""
    if isinstance(value, float) and math.isnan(value):
        return QUIET_NAN
    pattern = _INFINITY if isinstance(value, float) else min(_nearest_pattern(abs(value)), _INFINITY)
    return as_code(pattern | int(negative) << 63, FP64)


def _nearest_pattern(size: Fraction) -> int:
    if not size:
        return 0
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    exponent -= Fraction(2) ** exponent > size  # now 2**exponent <= size < 2**(exponent + 1)
    exponent = max(exponent, 1 - FP64.bias)
    # ``round`` takes ties to even. The leading one, where there is one, adds one to the exponent's
    # field; so does a significand that is rounded up to the next power of two.
    significand = round(size / Fraction(2) ** (exponent - FP64.mantissa_bits))
    return (exponent + FP64.bias - 1 << FP64.mantissa_bits) + significand


def product_reference(a: int, b: int) -> int:
    """The code of the product of two fp64 codes, by exact rational arithmetic, rounded once."""
    return nearest_code(exact_value(a) * exact_value(b), (a < 0) != (b < 0))


def contract(design: OuterMultiplier) -> Contract:
    """What a unit of this size promises: an element every ``element_cycles``, its product after ``latency_cycles``."""

    def function(beats: Codes) -> Answer:
        first, factor, index, value = (np.ascontiguousarray(column) for column in beats.T)
        products = multiply_stream(first, factor, value)
        return Answer(np.stack((index, products), axis=1), np.arange(len(beats)))

    index = Whole(design.index_bits, signed=False)
    return Contract(
        name="outer_multiplier",
        inputs=Stream(
            (
                Port("first", FLAG, "1: a chunk starts here, with this factor"),
                Port("factor", FP64, "element of A; looked at with a chunk's first element only"),
                Port("index", index, "column of this element of B"),
                Port("value", FP64, "value of this element of B"),
            )
        ),
        outputs=Stream(
            (
                Port("index", index, "column of the partial product"),
                Port("product", FP64, "factor times value, nearest even; one pattern for every NaN"),
            )
        ),
        latency=design.latency_cycles,
        interval=design.element_cycles,
        # As many as are under way when elements come as fast as they may.
        capacity=-(-design.latency_cycles // design.element_cycles),
        function=function,
    )


UNIT = Unit(
    name="outer_multiplier",
    summary="an element of A times a row of B: fp64 products of a stream, with their indices",
    design_type=OuterMultiplier,
    contract=contract,
    sizes=(
        OuterMultiplier(index_bits=4, latency_cycles=1),
        OuterMultiplier(),
        OuterMultiplier(index_bits=64, element_cycles=3, latency_cycles=7),
        OuterMultiplier(index_bits=20, element_cycles=4, latency_cycles=4),
    ),
)
