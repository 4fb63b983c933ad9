"""Does what the attention accelerators share do what each of them relies on?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.models._attention import HeadRun, Port, on_copies, pipelined
from siloom.sim.selection.best_key import keep_best_where_none


@settings(deadline=None)
@given(st.integers(0, 999), st.booleans(), st.sampled_from([np.int32, np.int64, np.float32]))
def test_rows_without_a_key_keep_the_first_of_their_best_allowed_ones(seed, causal, kind):
    rng = np.random.default_rng(seed)
    seq = int(rng.integers(1, 9))
    kept = rng.random((seq, seq)) < 0.2
    allowed = np.tril(np.ones((seq, seq), bool)) if causal else np.ones((seq, seq), bool)
    kept &= allowed
    scores = rng.integers(-3, 3, (seq, seq)).astype(kind)
    expected = kept.copy()
    for i in np.flatnonzero(~kept.any(axis=1)).tolist():
        expected[i, max(np.flatnonzero(allowed[i]).tolist(), key=lambda j: (scores[i, j], -j))] = True
    without = int((~kept.any(axis=1)).sum())
    assert keep_best_where_none(kept, allowed, lambda rows: scores[rows]) == without
    assert (kept == expected).all()


@pytest.mark.parametrize("least", [np.float32(-np.inf), np.int64(np.iinfo(np.int64).min)])
def test_even_where_every_score_is_the_least_there_is_the_key_is_an_allowed_one(least):
    kept = np.zeros((1, 3), bool)
    allowed = np.array([[False, True, True]])
    assert keep_best_where_none(kept, allowed, lambda rows: np.full((len(rows), 3), least)) == 1
    assert kept.tolist() == [[False, True, False]]


NOTHING = {"output": np.zeros((0, 0), np.float32), "kept": np.zeros((0, 0), bool), "matters": np.zeros((0, 0), bool)}


def heads(*cycles, ahead=0):
    phases = ({"early": {"early": ahead}} if ahead else {}) | {"work": {"work": 0}}
    return [HeadRun(phases={**phases, "work": {"work": spent}}, events={}, **NOTHING) for spent in cycles]


def total(phases):
    return sum(sum(causes.values()) for causes in phases.values())


def test_a_head_goes_to_the_copy_that_is_free_and_waits_for_no_other():
    assert total(on_copies(2, Port(), 1)(heads(1000, *[100] * 9))) == 1000
    assert total(on_copies(2, Port(), 2)(heads(1000, *[100] * 9))) == 1000


@settings(deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=12), st.integers(0, 30), st.integers(0, 9), st.integers(1, 3))
def test_copies_memory_and_room_never_make_it_slower_and_no_load_is_hidden(cycles, load, latency, held):
    runs, port = heads(*cycles), Port(cycles=load, latency=latency)
    taken = [total(on_copies(copies, port, held)(runs)) for copies in (1, 2, 3, 50)]
    assert taken == sorted(taken, reverse=True)
    assert total(on_copies(2, port, held + 1)(runs)) <= taken[1]
    assert total(on_copies(2, Port(), held)(runs)) <= taken[1]
    # All loads go through the port, and the head that came last is then still to be worked on.
    assert taken[-1] >= load * len(cycles) + latency + cycles[-1]
    if held == 1:  # nothing is loaded while the one copy works
        assert taken[0] == sum(cycles) + latency + load * len(cycles) + (
            latency * (len(cycles) - 1) if load or latency else 0
        )


@settings(deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=12), st.integers(0, 60), st.integers(0, 60))
def test_a_pipeline_of_heads_is_as_slow_as_its_slowest_stage(cycles, load, ahead):
    taken = total(pipelined(Port(cycles=load), "early" if ahead else "")(heads(*cycles, ahead=ahead)))
    count = len(cycles)
    slowest = max(load * count + ahead + cycles[-1], load + ahead * count + cycles[-1], load + ahead + sum(cycles))
    assert slowest <= taken <= load * count + ahead * count + sum(cycles)
    if len(set(cycles)) == 1:
        assert taken == load + ahead + cycles[0] + (count - 1) * max(load, ahead, cycles[0])
