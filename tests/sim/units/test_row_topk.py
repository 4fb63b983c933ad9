"""Are the keys chosen the largest scores of their row, ties to the lowest index?"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.errors import InputError
from siloom.sim.units.row_topk import UNIT, RowTopk, contract, row_topk_reference, row_topk_stream, top_of_rows


def mask_of(row, keep, length=None):
    scores = np.array([row], np.int32)
    return top_of_rows(scores, np.array([len(row) if length is None else length]), np.array([keep]))[0]


def stream(row, keep, lanes):
    beats = -(-len(row) // lanes)
    scores = np.zeros((beats, lanes), np.int64)
    scores.ravel()[: len(row)] = row
    count = np.full(beats, lanes)
    count[-1] = len(row) - lanes * (beats - 1)
    last = (np.arange(beats) == beats - 1).astype(np.int64)
    out, cause = row_topk_stream(scores, count, last, keep)
    assert (cause == beats - 1).all()
    return [index for *indices, valid in out.tolist() for index in indices[:valid]]


def test_every_row_of_four_2_bit_scores_and_every_number_of_places():
    for row in itertools.product(range(-2, 2), repeat=4):
        for keep in range(1, 6):
            expected = row_topk_reference(row, keep)
            assert stream(row, keep, 1) == stream(row, keep, 3) == expected
            assert np.flatnonzero(mask_of(row, keep)).tolist() == sorted(expected)


rows = st.lists(st.one_of(st.integers(-3, 3), st.integers(-(2**31), 2**31 - 1)), min_size=1, max_size=40)


@settings(max_examples=300, deadline=None)
@given(rows, st.integers(0, 45), st.integers(1, 5), st.data())
def test_sorter_and_threshold_search_agree_with_sorting(row, keep, lanes, data):
    length = data.draw(st.integers(0, len(row)))
    chosen = np.flatnonzero(mask_of(row, keep, length)).tolist()
    assert chosen == sorted(row_topk_reference(row[:length], keep))
    if keep:
        assert stream(row, keep, lanes) == row_topk_reference(row, keep)


@settings(deadline=None)
@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=30, unique=True), st.randoms(), st.integers(1, 30))
def test_permuting_keys_permutes_the_mask_where_nothing_ties(row, shuffler, keep):
    order = list(range(len(row)))
    shuffler.shuffle(order)
    assert (mask_of([row[j] for j in order], keep) == mask_of(row, keep)[order]).all()


@settings(deadline=None)
@given(rows, st.integers(0, 40))
def test_one_place_more_keeps_what_was_kept_and_one_more(row, keep):
    less, more = mask_of(row, keep), mask_of(row, keep + 1)
    assert not (less & ~more).any()
    assert more.sum() == min(keep + 1, len(row))


@settings(deadline=None)
@given(rows, st.integers(1, 40))
def test_no_score_left_out_is_above_one_kept(row, keep):
    mask, scores = mask_of(row, keep), np.array(row, np.int64)
    if not mask.all():
        assert scores[~mask].max() <= scores[mask].min()


def test_a_row_gives_its_indices_before_the_next_is_taken():
    promise = contract(RowTopk(keys=8, keep=3, score_bits=4))
    beats = np.array([[5, 1, 0], [7, 1, 0], [5, 1, 0], [1, 1, 1], [2, 1, 1]])
    answer = promise.answer(beats)
    assert answer.beats.tolist() == [[1, 1], [0, 1], [2, 1], [0, 1]]
    got = promise.schedule(beats, np.zeros(5, np.int64), np.ones(0, bool))
    assert got.taken.tolist() == [0, 1, 2, 3, 6]
    assert got.left.tolist() == [4, 5, 6, 7]


def test_a_row_without_a_score_gives_no_beat():
    assert contract(RowTopk(keys=8, keep=3)).answer(np.array([[9, 0, 1]])).beats.shape == (0, 2)


def test_beats_longer_than_rows_are_refused():
    with pytest.raises(InputError, match="lanes must be at most keys, 2, got 4"):
        RowTopk(keys=2, lanes=4)


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
