"""Does every row get every key of its own, each key brought once, the most shared first?"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.errors import InputError
from siloom.sim.units.token_scheduler import (
    UNIT,
    TokenScheduler,
    buffer_order,
    contract,
    token_scheduler_reference,
    token_scheduler_stream,
)


def schedule(owners, tokens, per_round, ordered=False):
    beats = np.array(owners, np.int64)[:, None]
    last = (np.arange(len(owners)) == len(owners) - 1).astype(np.int64)
    out, cause = token_scheduler_stream(beats, last, buffer_order(tokens), tokens, per_round, ordered)
    assert (cause == len(owners) - 1).all()
    return [[(k, w) for k, w in zip(row[:per_round], row[per_round:], strict=True) if w] for row in out.tolist()]


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("per_round", [1, 2])
def test_every_group_of_two_rows_and_four_keys(per_round, ordered):
    for owners in itertools.product(range(4), repeat=4):
        assert schedule(owners, 2, per_round, ordered) == token_scheduler_reference(owners, 2, per_round, ordered)


groups = st.integers(1, 5).flatmap(
    lambda tokens: st.tuples(
        st.just(tokens), st.lists(st.integers(0, 2**tokens - 1), min_size=1, max_size=24), st.integers(1, tokens)
    )
)


@settings(max_examples=300, deadline=None)
@given(groups, st.booleans())
def test_kernel_equals_the_plain_reference(group, ordered):
    tokens, owners, per_round = group
    assert schedule(owners, tokens, per_round, ordered) == token_scheduler_reference(owners, tokens, per_round, ordered)


@settings(max_examples=300, deadline=None)
@given(groups, st.booleans())
def test_every_row_works_on_every_key_of_its_own_once_and_on_one_at_a_time(group, ordered):
    tokens, owners, per_round = group
    rounds = schedule(owners, tokens, per_round, ordered)
    for t in range(tokens):
        own = [[key for key, who in fetches if who >> t & 1] for fetches in rounds]
        assert all(len(keys) <= 1 for keys in own)
        assert sorted(k for keys in own for k in keys) == [k for k, who in enumerate(owners) if who >> t & 1]


@settings(max_examples=300, deadline=None)
@given(groups)
def test_out_of_order_brings_each_key_once_and_never_more_than_in_order_does(group):
    tokens, owners, per_round = group
    fetched = [fetch for r in schedule(owners, tokens, per_round) for fetch in r]
    assert sorted(fetched) == [(key, who) for key, who in enumerate(owners) if who]
    in_order = [fetch for r in schedule(owners, tokens, per_round, True) for fetch in r]
    assert len(fetched) <= len(in_order) <= sum(who.bit_count() for who in owners)


@settings(deadline=None)
@given(groups)
def test_rounds_are_at_least_the_fullest_row_and_in_order_exactly_that(group):
    tokens, owners, per_round = group
    fullest = max(sum(who >> t & 1 for who in owners) for t in range(tokens))
    assert len(schedule(owners, tokens, per_round)) >= fullest
    assert len(schedule(owners, tokens, tokens, True)) == fullest


@settings(deadline=None)
@given(groups)
def test_one_key_a_round_comes_in_falling_number_of_owners_or_in_its_place(group):
    tokens, owners, _ = group
    order = [r[0] for r in schedule(owners, tokens, 1)]
    assert order == sorted(order, key=lambda f: (-f[1].bit_count(), f[1], f[0]))
    keys = [r[0][0] for r in schedule(owners, tokens, 1, True)]
    assert keys == [key for key, who in enumerate(owners) if who]


@settings(deadline=None)
@given(groups, st.randoms())
def test_rounds_do_not_depend_on_which_key_is_which(group, shuffler):
    tokens, owners, per_round = group
    shuffled = list(owners)
    shuffler.shuffle(shuffled)
    first, second = ([[who for _, who in r] for r in schedule(o, tokens, per_round)] for o in (owners, shuffled))
    assert first == second


def test_a_group_of_the_paper_s_kind():
    # Rows 0 to 3 keep two keys each: key 1 is everybody's, keys 0 and 2 are two rows' each.
    owners = [0b0011, 0b1111, 0b1100]
    assert schedule(owners, 4, 4) == [[(1, 15)], [(0, 3), (2, 12)]]
    assert schedule(owners, 4, 4, True) == [[(0, 3), (1, 12)], [(1, 3), (2, 12)]]


def test_groups_follow_one_another_in_a_stream_and_empty_ones_give_no_round():
    promise = contract(TokenScheduler(tokens=2, keys=4, per_round=2))
    beats = np.array([[1, 0], [2, 1], [0, 1], [3, 0], [0, 1]])
    answer = promise.answer(beats)
    assert answer.beats.tolist() == [[0, 1, 1, 2], [0, 0, 3, 0]]
    assert answer.cause.tolist() == [1, 4]
    with pytest.raises(InputError, match="per_round must be at most tokens, 2, got 3"):
        TokenScheduler(tokens=2, per_round=3)


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
