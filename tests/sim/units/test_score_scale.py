"""Are scaled products rounded half to even and cut off, and do whole scales lose less than their last place?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.errors import InputError
from siloom.sim.units.score_scale import (
    ScoreScale,
    block_scales,
    scaled_scores,
    score_scale_reference,
    score_scale_stream,
)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(-(2**29), 2**29 - 1), st.integers(0, 2**16 - 1), st.integers(0, 2**16 - 1), st.integers(0, 62),
    st.integers(2, 48),
)  # fmt: skip
def test_any_product_and_scale_is_the_exact_fraction_rounded(product, row, key, shift, bits):
    found = score_scale_stream(np.array([[product, row, key, shift]], np.int64), bits)
    assert found[0, 0] == score_scale_reference(product, row, key, shift, bits)


def test_a_whole_matrix_takes_the_scales_of_its_rows_and_keys():
    rng = np.random.default_rng(1)
    products = rng.integers(-3000, 3000, (5, 7))
    rows, keys = rng.integers(0, 65536, 5), rng.integers(0, 65536, 7)
    found = scaled_scores(products, rows, keys, 20, 32)
    for i in range(5):
        for j in range(7):
            product, row, key = int(products[i, j]), int(rows[i]), int(keys[j])
            assert found[i, j] == score_scale_reference(product, row, key, 20, 32)


def test_whole_scales_keep_all_bits_of_the_largest_one():
    scales = np.array([0.06, 0.031, 0.0004, 0.0])
    codes, power = block_scales(scales, 16, 8)
    assert 2**15 <= codes[0] < 2**16
    assert np.abs(codes / 2.0**power - scales).max() <= 2.0 ** -(power + 1)


def test_scales_beyond_the_least_power_stay_at_the_largest_number():
    assert block_scales(np.array([1e6, 1.0]), 16, 8)[0].tolist() == [65535, 256]
    assert block_scales(np.zeros(2), 16, 8)[0].tolist() == [0, 0]


def test_what_a_word_cannot_hold_is_refused():
    with pytest.raises(InputError, match="at most 62 together, got 48"):
        ScoreScale(product_bits=48)
    with pytest.raises(InputError, match="fraction must be below score_bits, got 16"):
        ScoreScale(score_bits=16)
