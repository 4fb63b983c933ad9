"""Does DOTA's detector compute exact low-precision products, rounded half to even?"""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.errors import InputError
from siloom.sim.units.low_rank_detector import (
    UNIT,
    LowRankDetector,
    contract,
    low_rank_detector_reference,
    low_rank_detector_stream,
    low_rank_vectors,
    scale_for,
)


@pytest.mark.parametrize(("scale", "shift"), [(1, 0), (3, 2), (32768, 15), (40000, 17), (0, 0)])
def test_every_pair_of_2_bit_vectors_of_two_and_of_4_bit_numbers(scale, shift):
    for rank, bits in ((2, 2), (1, 4)):
        top = (1 << (bits - 1)) - 1
        pairs = list(itertools.product(range(-top, top + 1), repeat=2 * rank))
        beats = np.array([(*pair, scale) for pair in pairs], np.int64)
        expected = [low_rank_detector_reference(p[:rank], p[rank:], scale, shift, bits) for p in pairs]
        assert low_rank_detector_stream(beats, rank, shift, top)[:, 0].tolist() == expected


@st.composite
def products(draw):
    rank, columns, rows = (draw(st.integers(1, 6)) for _ in range(3))
    bits = draw(st.sampled_from([2, 4, 8]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    top = (1 << (bits - 1)) - 1
    x, w = rng.integers(-top, top + 1, (rows, rank)), rng.integers(-top, top + 1, (rank, columns))
    return x, w, rng.integers(0, 1 << 16, rows), draw(st.integers(0, 30)), bits


@settings(deadline=None)
@given(products())
def test_whole_tensors_equal_the_reference(case):
    x, w, scale, shift, bits = case
    expected = [
        [low_rank_detector_reference(row, column, int(s), shift, bits) for column in w.T.tolist()]
        for row, s in zip(x.tolist(), scale, strict=True)
    ]
    assert low_rank_vectors(x, w, scale, shift, (1 << (bits - 1)) - 1).tolist() == expected


@settings(deadline=None)
@given(products())
def test_a_negated_vector_gives_negated_codes(case):
    x, w, scale, shift, bits = case
    top = (1 << (bits - 1)) - 1
    assert (low_rank_vectors(-x, w, scale, shift, top) == -low_rank_vectors(x, w, scale, shift, top)).all()


@given(st.integers(1, 2**40), st.sampled_from([2, 4, 8, 16]))
def test_the_largest_sum_becomes_the_highest_code_and_the_scale_has_16_bits(largest, bits):
    scale, shift = scale_for(largest, bits)
    top = (1 << (bits - 1)) - 1
    assert 1 << 15 <= scale < 1 << 16
    assert abs(Fraction(largest * scale, 1 << shift) - top) <= Fraction(top, 1 << 15)
    assert scale_for(0, bits) == (0, 0)


def test_contract_takes_one_pair_a_cycle_and_sums_must_fit():
    promise = contract(LowRankDetector(rank=2, bits=4, shift=15))
    assert promise.answer(np.array([[7, 7, 7, 7, 1 << 15], [7, -7, 1, 1, 1 << 15]])).beats.tolist() == [[7], [0]]
    with pytest.raises(InputError, match="sums must fit 32 bits, got rank 1024 at 16 bits"):
        LowRankDetector(rank=1024, bits=16)


@pytest.mark.parametrize("size", UNIT.sizes, ids=lambda size: size.content_hash()[:6])
def test_every_size_keeps_its_formats_and_its_rate(size):
    promise = contract(size)
    rng = np.random.default_rng(1)
    beats = np.stack([rng.integers(form.low, form.high + 1, 300) for form in promise.inputs.formats], axis=1)
    beats = promise.legal(beats) if promise.legal else beats
    answer = promise.answer(beats)
    timed = promise.schedule(beats, np.zeros(300, np.int64), np.ones(0, bool))
    assert len(timed.left) == len(answer.beats) > 0
    assert (np.diff(timed.left) >= 1).all()
