"""Are weighted means rounded once, half to even?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.errors import InputError
from siloom.sim.units.weighted_mean import WeightedMean, contract, weighted_mean_reference, weighted_means


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 4).flatmap(
        lambda d: st.lists(
            st.tuples(st.integers(0, 2**32 - 1), *[st.integers(-32768, 32767)] * d), min_size=1, max_size=20
        )
    )
)
def test_means_are_rounded_once_half_to_even(beats):
    weights, values = [beat[0] for beat in beats], [list(beat[1:]) for beat in beats]
    found = weighted_means(np.array([weights]), np.array(values), np.ones((1, len(beats)), np.bool_))[0]
    assert found.tolist() == weighted_mean_reference(weights, values)


def test_every_mean_of_two_2_bit_values():
    for a in range(4):
        for b in range(4):
            for x in range(-2, 2):
                for y in range(-2, 2):
                    found = weighted_means(np.array([[a, b]]), np.array([[x], [y]]), np.ones((1, 2), np.bool_))
                    assert found[0].tolist() == weighted_mean_reference([a, b], [[x], [y]])


def test_the_stream_and_the_kernel_agree():
    design = WeightedMean(dim=3)
    rng = np.random.default_rng(0)
    beats = np.stack([rng.integers(0, 2**32, 12), *rng.integers(-100, 100, (3, 12)), *np.zeros((2, 12), int)], axis=1)
    beats[[0, 5], 4] = 1
    beats[[4, 11], 5] = 1
    answer = contract(design).answer(beats.astype(np.int64))
    for row, (first, last) in enumerate(((0, 5), (5, 12))):
        expected = weighted_mean_reference(beats[first:last, 0].tolist(), beats[first:last, 1:4].tolist())
        assert answer.beats[row].tolist() == expected


def test_sums_too_wide_are_refused():
    with pytest.raises(InputError, match="at most 62 bits"):
        WeightedMean(weight_bits=40, most_beats=2**20)
