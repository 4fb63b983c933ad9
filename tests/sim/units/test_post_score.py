"""Which scores are near enough to the largest?"""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.errors import InputError
from siloom.sim.units.post_score import (
    PostScore,
    bound_code,
    contract,
    near_largest,
    post_score_reference,
    post_score_stream,
)


def test_every_3_bit_score_largest_and_bound():
    beats = np.array(list(product(range(-4, 4), range(-4, 4), range(16))), np.int64)
    expected = [post_score_reference(*(Fraction(x, 2) for x in beat)) for beat in beats.tolist()]
    assert post_score_stream(beats)[:, 0].tolist() == expected
    assert contract(PostScore(score_bits=3, score_fraction=1)).answer(beats).beats[:, 0].tolist() == expected


rows = st.lists(st.tuples(st.integers(-(2**40), 2**40), st.booleans()), min_size=1, max_size=20)
percents = st.floats(0.01, 99.9)


def kept(row, bound):
    scores, flags = zip(*row, strict=True)
    scores, flags = np.array([scores], np.int64), np.array([flags], bool)
    found, largest = near_largest(scores, flags, bound)
    return scores[0], flags[0], found[0], largest[0]


@settings(deadline=None)
@given(rows, st.integers(1, 2**42))
def test_kernel_equals_the_plain_comparison_among_those_kept_before(row, bound):
    scores, flags, found, largest = kept(row, bound)
    if flags.any():
        assert largest == scores[flags].max()
        assert (found == (flags & (largest - scores < bound))).all()
        assert found[flags & (scores == largest)].all()
    else:
        assert not found.any()


@settings(deadline=None)
@given(rows, percents, percents)
def test_a_stricter_percentage_never_keeps_more(row, one, other):
    loose, strict = (kept(row, bound_code(p, 2.0**-35))[2] for p in sorted((one, other)))
    assert (strict <= loose).all()


@settings(deadline=None)
@given(rows, percents, st.integers(-(2**40), 2**40))
def test_adding_a_number_to_all_scores_changes_nothing(row, percent, shift):
    bound = bound_code(percent, 2.0**-35)
    moved = [(score + shift, flag) for score, flag in row]
    assert (kept(row, bound)[2] == kept(moved, bound)[2]).all()


@pytest.mark.parametrize(("percent", "t"), [(5.0, 2.996), (10.0, 2.303)])
def test_a_percentage_is_a_distance_in_the_exponent(percent, t):
    assert bound_code(percent, 0.001) == math.ceil(math.log(100 / percent) * 1000)
    assert round(bound_code(percent, 1e-9) * 1e-9, 3) == t


@settings(deadline=None)
@given(percents, st.integers(1, 2**20))
def test_the_bound_rounded_up_decides_as_the_exact_one(percent, difference):
    unit = 2.0**-10
    assert (difference < bound_code(percent, unit)) == (difference * unit < math.log(100.0 / percent))


@pytest.mark.parametrize("percent", [0.0, 100.0, math.nan])
def test_percentages_without_a_distance_are_refused(percent):
    with pytest.raises(InputError, match="percent must be above 0 and below 100"):
        bound_code(percent, 1.0)
