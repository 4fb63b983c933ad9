"""Is a softmax that never looks back what the recurrence says, and near the real one?"""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.errors import InputError
from siloom.sim.units.exp_split import split_tables
from siloom.sim.units.online_softmax import (
    UNIT,
    OnlineSoftmax,
    contract,
    online_softmax_bound,
    online_softmax_reference,
    online_softmax_rows,
)


def means(design, scores, values, kept=None):
    scores, values = np.array(scores, np.int64), np.array(values, np.int64)
    flags = np.ones(scores.shape, bool) if kept is None else np.array(kept, bool)
    return online_softmax_rows(scores, values, flags, design.block, *split_tables(design.exponential), design.numbers)


def test_every_row_of_two_2_bit_scores_and_two_2_bit_values():
    # Eight bits of scores and values, and whether each counts.
    for block in (1, 2):
        design = OnlineSoftmax(block=block, dim=1, score_fraction=1, power_fraction=3, guard_bits=1, value_bits=2)
        for *scores, v, w in product(range(-2, 2), repeat=4):
            for kept in product((False, True), repeat=2):
                expected = online_softmax_reference(scores, [[v], [w]], kept, design)
                assert means(design, [scores], [[v], [w]], [kept])[0].tolist() == expected


@st.composite
def rows(draw):
    design = OnlineSoftmax(
        block=draw(st.integers(1, 5)), dim=draw(st.integers(1, 3)), score_fraction=draw(st.integers(2, 10)),
        power_fraction=draw(st.integers(4, 16)), guard_bits=draw(st.integers(0, 8)),
    )  # fmt: skip
    keys = draw(st.integers(1, 16))
    reach = 16 << design.score_fraction
    scores = draw(st.lists(st.integers(-reach // 2 + 1, reach // 2 - 1), min_size=keys, max_size=keys))
    vector = st.lists(st.integers(-256, 255), min_size=design.dim, max_size=design.dim)
    values = draw(st.lists(vector, min_size=keys, max_size=keys))
    return design, scores, values, draw(st.lists(st.booleans(), min_size=keys, max_size=keys))


@settings(max_examples=200, deadline=None)
@given(rows())
def test_kernel_and_unit_equal_the_recurrence_in_exact_fractions(row):
    design, scores, values, kept = row
    expected = online_softmax_reference(scores, values, kept, design)
    assert means(design, [scores], values, [kept])[0].tolist() == expected
    # The same as beats, the last block filled up with what does not count.
    empty = -len(scores) % design.block
    filled = [*zip(scores, values, kept, strict=True), *([(7, [9] * design.dim, False)] * empty)]
    beats = []
    for first in range(0, len(filled), design.block):
        here = filled[first : first + design.block]
        lanes = [s for s, _, _ in here] + [x for _, v, _ in here for x in v] + [k for _, _, k in here]
        beats.append([*lanes, first == 0, first + design.block == len(filled)])
    wide = OnlineSoftmax(**{**design.as_dict(), "score_bits": 24})
    assert contract(wide).answer(np.array(beats, np.int64)).beats.tolist() == [expected]


def softmax(design, scores, values, kept):
    x = np.array(scores)[kept] / 2.0**design.score_fraction
    weights = np.exp(x - x.max())
    return weights @ np.array(values, float)[kept] / weights.sum()


def rises(design, scores, kept):
    blocks = range(0, len(scores), design.block)
    counted = [
        [s for s, k in list(zip(scores, kept, strict=True))[first : first + design.block] if k] for first in blocks
    ]
    tops = [max(block) for block in counted if block]
    return sum(top > max(tops[:i]) for i, top in enumerate(tops) if i)


@settings(max_examples=200, deadline=None)
@given(rows())
def test_it_is_softmax_within_the_stated_error(row):
    design, scores, values, kept = row
    if not any(kept):
        return
    bound = online_softmax_bound(design, sum(kept), rises(design, scores, kept), np.abs(values).max())
    found = means(design, [scores], values, [kept])[0]
    assert np.abs(found - softmax(design, scores, values, kept)).max() <= bound + 1e-9


def test_a_usual_row_is_near_softmax():
    rng = np.random.default_rng(2)
    scores = rng.normal(0, 2 * 256, (50, 200)).astype(int)
    values = rng.integers(-256, 256, (200, 16))
    design = OnlineSoftmax(block=8, dim=16, power_fraction=16)
    exact = np.array([softmax(design, row, values, np.ones(200, bool)) for row in scores])
    assert np.abs(means(design, scores, values) - exact).max() < 0.6
    # In one block there is no rescaling; with more and more of it, still.
    for block in (1, 3, 200):
        other = OnlineSoftmax(block=block, dim=16, power_fraction=16)
        assert np.abs(means(other, scores, values) - exact).max() < 0.6


@settings(deadline=None)
@given(rows(), st.integers(-(2**30), 2**30))
def test_a_shift_of_all_scores_changes_no_bit(row, shift):
    design, scores, values, kept = row
    moved = [s + shift for s in scores]
    assert (means(design, [scores], values, [kept]) == means(design, [moved], values, [kept])).all()


@settings(deadline=None)
@given(rows(), st.randoms(use_true_random=False))
def test_the_order_within_a_block_changes_no_bit(row, chance):
    design, scores, values, kept = row
    one = OnlineSoftmax(**{**design.as_dict(), "block": len(scores)})
    order = chance.sample(range(len(scores)), len(scores))
    shuffled = [[part[j] for j in order] for part in (scores, values, kept)]
    straight = means(one, [scores], values, [kept])
    assert (straight == means(one, [shuffled[0]], shuffled[1], [shuffled[2]])).all()


@settings(deadline=None)
@given(rows())
def test_what_is_left_out_might_as_well_not_be_there(row):
    design, scores, values, kept = row
    loud = [s if k else 10**6 for s, k in zip(scores, kept, strict=True)]
    assert (means(design, [loud], values, [kept]) == means(design, [scores], values, [kept])).all()
    if not any(kept):
        assert not means(design, [scores], values, [kept]).any()


def test_a_rising_row_is_rescaled_and_a_falling_one_is_not():
    design = OnlineSoftmax(block=1, dim=1, power_fraction=4, guard_bits=0)
    falling = [1024, 512, 0]
    values = [[200], [100], [-50]]
    one = OnlineSoftmax(block=3, dim=1, power_fraction=4, guard_bits=0)
    assert means(design, [falling], values) == means(one, [falling], values)
    assert means(design, [falling[::-1]], values[::-1]) != means(one, [falling[::-1]], values[::-1])


def test_blocks_come_at_the_loops_pace_and_a_division_holds_them_up():
    design = OnlineSoftmax(block=1, dim=1, loop_cycles=3, divide_cycles=5)
    beats = np.array([[0, 7, 1, 1, 0], [0, 7, 1, 0, 1], [0, 7, 1, 1, 1]], np.int64)
    timed = contract(design).schedule(beats, np.zeros(3, np.int64), np.ones(0, bool))
    assert timed.taken.tolist() == [0, 3, 11]
    assert timed.shown.tolist() == [11, 19]


def test_sums_beyond_a_word_are_refused():
    with pytest.raises(InputError, match="online_softmax: products of sums must have at most 62 bits, got 83"):
        UNIT.design_type(value_bits=16, guard_bits=16, power_fraction=20)
