"""Are shares of a total, and sums of vectors by them, what exact fractions say?"""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.errors import InputError
from siloom.sim.units.share_sum import ShareSum, contract, share_sum_reference, share_sums

SMALL = ShareSum(dim=1, power_bits=2, share_fraction=2, value_bits=2, most_beats=2, stages=1)


def test_every_2_bit_power_3_bit_total_and_2_bit_value():
    beats = np.array([[p, t, v, 1, 1] for p, t, v in product(range(4), range(8), range(-2, 2)) if p <= t], np.int64)
    expected = [share_sum_reference([p], t, [[v]], 2, 2)[0] for p, t, v, _, _ in beats.tolist()]
    assert contract(SMALL).answer(beats).beats[:, 0].tolist() == expected


@st.composite
def rows(draw):
    count, dim = draw(st.integers(1, 12)), draw(st.integers(1, 4))
    powers = draw(st.lists(st.integers(0, 2**16), min_size=count, max_size=count))
    vector = st.lists(st.integers(-256, 255), min_size=dim, max_size=dim)
    kept = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    return powers, draw(st.lists(vector, min_size=count, max_size=count)), kept, draw(st.integers(1, 20))


@settings(max_examples=200, deadline=None)
@given(rows())
def test_kernel_and_unit_equal_the_plain_reference(row):
    powers, values, kept, fraction = row
    found = share_sums(np.array([powers]), np.array(values), np.array([kept]), fraction, 9)[0].tolist()
    chosen = [(p, v) for p, v, k in zip(powers, values, kept, strict=True) if k]
    total = sum(p for p, _ in chosen)
    dim = len(values[0])
    if not chosen:
        assert found == [0] * dim
        return
    assert found == share_sum_reference([p for p, _ in chosen], total, [v for _, v in chosen], fraction, 9)
    beats = [[p, total, *v, i == 0, i == len(chosen) - 1] for i, (p, v) in enumerate(chosen)]
    unit = contract(ShareSum(dim=dim, power_bits=17, share_fraction=fraction))
    assert unit.answer(np.array(beats, np.int64)).beats[0].tolist() == found


@settings(deadline=None)
@given(rows())
def test_a_sum_is_the_mean_but_for_half_a_last_place_of_each_share(row):
    powers, values, _, fraction = row
    found = share_sums(np.array([powers]), np.array(values), np.ones((1, len(powers)), bool), fraction, 9)[0]
    total = sum(powers)
    for c, code in enumerate(found.tolist()):
        column = [v[c] for v in values]
        mean = Fraction(sum(p * v for p, v in zip(powers, column, strict=True)), total) if total else Fraction(0)
        most = Fraction(sum(map(abs, column)), 2 ** (fraction + 1)) + Fraction(1, 2)
        assert abs(code - mean) <= most or code in (-256, 255)


def test_one_vector_alone_comes_back_as_it_is():
    values = np.arange(-256, 256).reshape(1, -1)
    assert (share_sums(np.array([[7]]), values, np.ones((1, 1), bool), 12, 9) == values).all()


def test_sums_beyond_the_format_stay_at_its_end():
    # Three shares of 1/3 are rounded to 1/2 of 1 bit each at worst: at 2 bits, 0.25 each; two of 3/8 go up to 1/2.
    found = share_sums(np.array([[3, 3, 2]]), np.full((3, 1), 255), np.ones((1, 3), bool), 2, 9)
    assert found.tolist() == [[255]]


def test_the_widest_sizes_stay_within_a_word():
    design = ShareSum(dim=1, power_bits=31, share_fraction=30, value_bits=16, most_beats=2**14)
    top = 2**31 - 1
    beats = np.array([[top, top, -(2**15), 1, 1], [0, 2**45 - 1, 5, 1, 1], [top, 2**45 - 1, 5, 1, 1]], np.int64)
    expected = [share_sum_reference([p], t, [[v]], 30, 16) for p, t, v, _, _ in beats.tolist()]
    assert contract(design).answer(beats).beats.tolist() == expected


def test_settings_out_of_range_are_named():
    with pytest.raises(InputError, match="share_fraction must be at most 30 bit, got 31"):
        ShareSum(share_fraction=31)
