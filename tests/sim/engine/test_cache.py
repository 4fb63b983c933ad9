"""Do the caches hit and miss as the definition of LRU says, and no better than it allows?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.engine.cache import cold_misses, new_cache, probe, replay, replay_reference, set_start, sets_of, touch
from siloom.sim.errors import InputError

streams = st.lists(st.integers(0, 40), max_size=200)
shapes = st.tuples(st.sampled_from([1, 2, 4, 8]), st.integers(1, 5))


@given(streams, shapes)
@settings(max_examples=100, deadline=None)
def test_replay_equals_recency_ordered_dicts(stream: list[int], shape: tuple[int, int]) -> None:
    assert replay(np.array(stream, np.int64), *shape).tolist() == replay_reference(stream, *shape)


@given(streams, shapes)
@settings(max_examples=50, deadline=None)
def test_more_ways_never_lose_a_hit_and_none_beats_the_infinite_cache(
    stream: list[int], shape: tuple[int, int]
) -> None:
    sets, ways = shape
    blocks = np.array(stream, np.int64)
    small, large = replay(blocks, sets, ways), replay(blocks, sets, ways + 1)
    # LRU keeps the larger cache a superset of the smaller one, access by access.
    assert not np.any(small & ~large)
    assert np.count_nonzero(~large) >= cold_misses(stream)
    assert np.count_nonzero(~replay(blocks, 1, 41)) == cold_misses(stream)


def test_long_random_stream_with_reuse() -> None:
    rng = np.random.default_rng(3)
    stream = (1000 * rng.random(20_000) ** 3).astype(np.int64)
    for sets, ways in ((16, 4), (1, 64), (64, 1)):
        assert replay(stream, sets, ways).tolist() == replay_reference(stream.tolist(), sets, ways)


def test_cyclic_stream_one_block_too_long_never_hits() -> None:
    stream = np.tile(np.arange(5), 20)
    assert not replay(stream, 1, 4).any()
    assert np.count_nonzero(replay(stream, 1, 5)) == len(stream) - 5


def test_probe_changes_nothing_and_caches_do_not_share_slots() -> None:
    lines = new_cache(2, 4, 2)
    first, second = set_start(0, 4, 2, 6), set_start(1, 4, 2, 6)
    assert (first, second) == (2 * 2, 2 * 2 + 8)
    slot = touch(lines, first, 2, 6, 1)
    assert slot < 0
    before = lines.copy()
    assert probe(lines, first, 2, 6) == -1 - slot
    assert probe(lines, second, 2, 6) == -1
    assert np.array_equal(before, lines)
    assert touch(lines, first, 2, 6, 2) == -1 - slot


def test_sets_of_counts_sets_or_names_the_rule() -> None:
    assert sets_of("l0_bytes", 16384, 4, 64) == 64
    for size in (0, 100, 3 * 4 * 64):
        with pytest.raises(InputError, match=rf"l0_bytes must be 4 ways x 64 bytes x a power of two.*got {size} bytes"):
            sets_of("l0_bytes", size, 4, 64)
