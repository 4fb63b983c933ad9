"""Does the outer multiplier give the exact product, rounded once, whatever the operands?"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from siloom.sim.contract import FP64
from siloom.sim.errors import InputError
from siloom.sim.units.outer_multiplier import (
    QUIET_NAN,
    UNIT,
    OuterMultiplier,
    contract,
    exact_value,
    multiply_stream,
    nearest_code,
    product_reference,
)


def code(value: float) -> int:
    return int(np.float64(value).view(np.int64))


def product(a: int, b: int) -> int:
    one, factor, value = (np.array([x], np.int64) for x in (1, a, b))
    return int(multiply_stream(one, factor, value)[0])


CODES = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from(FP64.corners()),
    # Few significant bits and any exponent: exact products, and sums and products that are ties.
    st.builds(
        lambda sign, exponent, top, low: -(sign << 63) + (exponent << 52) + (top << 44) + low,
        st.integers(0, 1),
        st.integers(0, 2046),
        st.integers(0, 255),
        st.integers(0, 3),
    ),
)


@st.composite
def pairs_about_the_smallest(draw):
    """Factors whose product lies among the subnormals, or half a step below the least of them."""
    exponent = draw(st.integers(0, 1100))
    beyond = draw(st.integers(2046 - 1023 - 60, 2046 - 1023 + 3)) - exponent
    other = min(max(beyond, 0), 2046)
    mantissa = st.one_of(st.integers(0, 2**52 - 1), st.integers(0, 255).map(lambda m: m << 44))
    signs = [draw(st.integers(0, 1)) << 63 for _ in range(2)]
    return tuple((e << 52) + draw(mantissa) - s for e, s in zip((exponent, other), signs, strict=True))


@settings(max_examples=2000, deadline=None)
@given(CODES, CODES)
@example(code(0.0), code(math.inf))
@example(code(-math.inf), code(-0.0))
@example(code(5e-324), code(0.5))  # a tie, to zero
@example(code(5e-324), code(-1.5))  # a tie, away from zero
@example(code(1.7976931348623157e308), code(1.0000000000000002))
def test_kernel_equals_exact_arithmetic_rounded_once(a, b):
    assert product(a, b) == product_reference(a, b)


@settings(max_examples=2000, deadline=None)
@given(pairs_about_the_smallest())
def test_kernel_equals_exact_arithmetic_about_the_smallest_numbers(pair):
    expected = product_reference(*pair)
    assert product(*pair) == expected
    assert product(pair[1], pair[0]) == expected


def test_all_corners_by_all_corners():
    corners = FP64.corners()
    assert len(corners) == 30
    for a in corners:
        for b in corners:
            assert product(a, b) == product_reference(a, b), (hex(a), hex(b))


def test_known_products_of_the_reference():
    cases = [
        (1.5, -2.5, -3.75),
        (0.1, 0.1, 0.010000000000000002),
        (5e-324, 0.5, 0.0),
        (5e-324, -1.5, -1e-323),
        (2.2250738585072014e-308, 0.5, 1.1125369292536007e-308),  # a normal number becomes a subnormal one
        (1e200, -1e200, -math.inf),
        (math.inf, -2.0, -math.inf),
        (-0.0, 3.0, -0.0),
    ]
    for a, b, expected in cases:
        assert product_reference(code(a), code(b)) == code(expected)


def test_every_nan_is_the_same_one():
    signalling, negative = 0x7FF0_0000_0000_0001, code(math.nan) - 2**63
    for a, b in ((signalling, code(2.0)), (code(1.0), negative), (code(math.inf), code(-0.0)), (negative, signalling)):
        assert product(a, b) == product_reference(a, b) == QUIET_NAN


@given(st.floats(allow_nan=False))
def test_reading_a_code_and_rounding_it_give_it_back(value):
    exact = exact_value(code(value))
    assert exact == (value if math.isinf(value) else Fraction(value))
    assert nearest_code(exact, math.copysign(1.0, value) < 0) == code(value)


@given(st.fractions(-(2**20), 2**20), st.integers(-1120, 1000))
def test_rounding_is_that_of_the_division_of_integers(fraction, exponent):
    # Python's int / int is correctly rounded, subnormals included, by other means.
    exact = abs(fraction) * Fraction(2) ** exponent
    assert nearest_code(exact, fraction < 0) == code(math.copysign(exact.numerator / exact.denominator, fraction))


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), CODES, st.integers(0, 2**32 - 1), CODES), max_size=40))
def test_a_factor_is_taken_with_the_first_element_and_held(beats):
    answer = contract(OuterMultiplier()).answer(np.array(beats, np.int64).reshape(-1, 4))
    expected, held = [], 0
    for first, factor, index, value in beats:
        held = factor if first else held
        expected.append([index, product_reference(held, value)])
    assert answer.beats.tolist() == expected
    assert answer.cause.tolist() == list(range(len(beats)))


def test_an_element_costs_its_cycles_and_the_last_product_its_latency():
    free = np.ones(0, bool)
    beats = np.zeros((10, 4), np.int64)
    for element in (1, 2, 3, 8):
        for latency in (1, 2, 4, 7):
            promise = contract(OuterMultiplier(element_cycles=element, latency_cycles=latency))
            got = promise.schedule(beats, np.zeros(10, np.int64), free)
            # Its capacity is enough to keep this pace, and no more than that.
            assert got.left.tolist() == [latency + element * i for i in range(10)]
            assert (promise.capacity - 1) * element < latency <= promise.capacity * element


@pytest.mark.parametrize("size", UNIT.sizes, ids=str)
def test_widths_are_those_of_the_design(size):
    promise = contract(size)
    assert [p.format.bits for p in promise.inputs.ports] == [1, 64, size.index_bits, 64]
    assert [p.format.bits for p in promise.outputs.ports] == [size.index_bits, 64]
    assert (promise.latency, promise.interval) == (size.latency_cycles, size.element_cycles)
    top = (1 << size.index_bits) - 1 if size.index_bits < 64 else -1
    assert promise.answer(np.array([[1, code(3.0), top, code(5.0)]])).beats.tolist() == [[top, code(15.0)]]
    with pytest.raises(InputError, match="index_bits must be at most 64 bit, got 65"):
        OuterMultiplier(index_bits=65)
