"""Does split and conquer keep what the rule says, row by row, and put the global tokens in front?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.errors import InputError
from siloom.sim.split_conquer import conquer, prune, split_conquer

seeds = st.integers(0, 2**32 - 1)


def averaged(n: int, seed: int, ties: bool = False) -> np.ndarray:
    """A map whose rows add up to one."""
    rng = np.random.default_rng(seed)
    raw = rng.integers(0, 4, (n, n)).astype(float) if ties else rng.random((n, n)) ** 3
    return raw / np.maximum(raw.sum(axis=1, keepdims=True), 1e-30)


def by_hand(row: list[float], theta: float) -> list[bool]:
    """Largest first, the lower index first among equals, until the sum is reached."""
    kept = [False] * len(row)
    have = 0.0
    for at in sorted(range(len(row)), key=lambda j: (-row[j], j)):
        if have >= theta * sum(row) * (1 - 1e-12):
            break
        kept[at] = True
        have += row[at]
    return kept


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 10), st.floats(0, 0.999), st.booleans(), seeds)
def test_rows_are_those_of_the_rule_said_plainly(n: int, theta: float, ties: bool, seed: int) -> None:
    given_ = averaged(n, seed, ties)
    assert prune(given_, theta).tolist() == [by_hand(row, theta) for row in given_.tolist()]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.floats(0, 1), st.floats(0, 1), seeds)
def test_a_smaller_share_never_keeps_more_and_what_is_kept_reaches_the_share(
    n: int, one: float, other: float, seed: int
) -> None:
    low, high = sorted((one, other))
    given_ = averaged(n, seed)
    thin, thick = prune(given_, low), prune(given_, high)
    assert not (thin & ~thick).any()
    assert (np.where(thick, given_, 0).sum(axis=1) >= high * (1 - 1e-9)).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.floats(0, 0.999), st.integers(0, 12), seeds)
def test_tokens_in_another_order_give_the_mask_in_that_order(n: int, theta: float, theta_d: int, seed: int) -> None:
    given_ = averaged(n, seed)
    turn = np.random.default_rng(seed).permutation(n)
    mask, split = split_conquer(given_, theta, theta_d)
    turned, again = split_conquer(given_[turn][:, turn], theta, theta_d)
    assert np.array_equal(turned, mask[turn][:, turn])
    assert again.global_tokens == split.global_tokens


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.floats(0, 1), st.integers(0, 12), seeds)
def test_global_tokens_come_first_and_every_token_once(n: int, theta: float, theta_d: int, seed: int) -> None:
    mask, split = split_conquer(averaged(n, seed), theta, theta_d, always=1)
    lengths = mask.sum(axis=0)
    assert sorted(split.order.tolist()) == list(range(n))
    assert (lengths[split.order[: split.global_tokens]] > theta_d).all()
    assert (lengths[split.order[split.global_tokens :]] <= theta_d).all()
    assert (np.diff(split.order[: split.global_tokens]) > 0).all()
    assert mask[0].all()
    assert mask[:, 0].all()
    assert conquer(lengths, theta_d + 1).global_tokens <= split.global_tokens


def test_the_ends_keep_all_and_nothing() -> None:
    given_ = averaged(6, 1)
    assert prune(given_, 1.0).all()
    assert not prune(given_, 0.0).any()
    assert not prune(np.zeros((3, 3)), 0.5).any()


def test_bad_input_is_named() -> None:
    for bad, rule in (
        ({"theta_p": 1.5}, "theta_p must be between 0 and 1, got 1.5"),
        ({"always": -1}, "always must be"),
    ):
        with pytest.raises(InputError, match=rule):
            prune(averaged(3, 0), **{"theta_p": 0.5, **bad})
    for value in (np.nan, -0.1, np.inf):
        with pytest.raises(InputError, match="must be finite and at least 0"):
            prune(np.full((2, 2), value), 0.5)
