"""Are scaled sums rounded twice, to a single and to a whole number, and held within their format?"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.units.scaled_code import ScaledCode, contract, scaled_code_reference, scaled_codes

significand = st.integers(2**23, 2**24 - 1)


@settings(max_examples=300, deadline=None)
@given(significand, significand, st.integers(-4, 12), st.integers(-60, 60), st.booleans())
def test_any_product_around_the_codes(one, other, exponent, apart, negative):
    value = np.float32(one * 2.0 ** (exponent - 46 - apart) * (-1 if negative else 1))
    scale = np.float32(other * 2.0**apart)
    found = scaled_codes(np.array([value]), np.array([scale]), 9)
    assert found.tolist() == [scaled_code_reference(Fraction(float(value)), Fraction(float(scale)), 9)]


def test_the_first_rounding_can_make_a_tie_for_the_second():
    value = np.array([0.5, np.nextafter(np.float32(0.5), np.float32(1)), 1.5, 2.5, -0.5], np.float32)
    assert scaled_codes(value, np.float32(1.0), 9).tolist() == [0, 1, 2, 2, 0]
    third = np.float32(1.0) / np.float32(3.0)
    assert Fraction(1.5) * Fraction(float(third)) > Fraction(1, 2)
    assert scaled_codes(np.array([1.5], np.float32), third, 9).tolist() == [0]


def test_what_is_beyond_the_codes_stays_at_their_ends():
    sums = np.array([3e38, -3e38, 255.4, -256.4, 300.0, -300.0], np.float32)
    assert scaled_codes(sums, np.float32(1.0), 9).tolist() == [255, -256, 255, -256, 255, -256]
    assert scaled_codes(sums[:2], np.float32(2.0), 9).tolist() == [255, -256]


def test_sums_below_the_normal_numbers_count():
    least = np.float32(2.0**-149)
    assert scaled_codes(np.array([least * 2**22], np.float32), np.float32(2.0**126), 9).tolist() == [0]
    assert scaled_codes(np.array([least * 3 * 2**22], np.float32), np.float32(2.0**126), 9).tolist() == [2]


def test_one_scale_serves_all_lanes():
    beat = np.array([[1.0, -2.0, 3.0, 0.0, 4.0]], np.float32).view(np.uint32).astype(np.int64)
    assert contract(ScaledCode(lanes=4)).answer(beat).beats.tolist() == [[4, -8, 12, 0]]
