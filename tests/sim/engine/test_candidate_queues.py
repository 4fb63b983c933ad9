"""Do banks, queues and workers take the cycles that a clocked simulation of them takes?"""

from __future__ import annotations

import numpy as np
import pytest

from siloom.sim.engine.candidate_queues import CAUSES, causes, scan_and_work
from siloom.sim.engine.candidate_queues_reference import scan_and_work_reference


def run(candidates, sizes=(4, 4, 8, 16), cycles=(1, 1), depths=(1, 1), rescued=None):
    """``sizes``: banks, width, slots, queries held; ``cycles``: of a hash, of the output; ``depths``."""
    candidates = np.asarray(candidates, np.bool_)
    ends = np.zeros(len(candidates), np.int64)
    counts = np.zeros((len(candidates), sizes[0]), np.int64)
    rescued = np.zeros(len(candidates), np.bool_) if rescued is None else rescued
    scan_and_work(candidates, rescued, sizes, cycles, depths, ends, counts)
    return ends, counts


def drawn(rng):
    """Candidates of a few queries, of which those that have none are rescued."""
    candidates = rng.random((int(rng.integers(1, 14)), int(rng.integers(1, 60)))) < rng.random() * rng.choice([0.1, 1])
    rescued = ~candidates.any(axis=1)
    candidates[rescued, rng.integers(candidates.shape[1])] = True
    return candidates, rescued


@pytest.mark.parametrize("seed", range(200))
def test_every_end_equals_the_clocked_simulation(seed):
    rng = np.random.default_rng(seed)
    banks, width = (int(rng.integers(1, 6)) for _ in range(2))
    sizes = banks, width, int(rng.integers(width, width + 6)), int(rng.integers(1, 12))
    cycles = int(rng.integers(1, 9)), int(rng.integers(1, 12))
    depths = int(rng.integers(1, 6)), int(rng.integers(1, 12))
    candidates, rescued = drawn(rng)
    ends, counts = run(candidates, sizes, cycles, depths, rescued)
    assert ends.tolist() == scan_and_work_reference(candidates.tolist(), rescued.tolist(), sizes, cycles, depths)
    assert [[int(row[bank::banks].sum()) for bank in range(banks)] for row in candidates] == counts.tolist()
    spent = np.zeros(len(CAUSES), np.int64)
    causes(ends, counts, candidates.shape[1], width, *cycles, spent)
    assert spent.min() >= 0
    assert spent.sum() == ends[-1]
    # No stage can be faster than its own work.
    queries, keys = candidates.shape
    steps = -(-keys // (banks * width))
    assert ends[-1] >= max(queries * steps, counts.sum(axis=0).max(), queries * cycles[1], (queries - 1) * cycles[0])


@pytest.mark.parametrize("seed", range(30))
def test_longer_queues_and_faster_stages_are_never_slower(seed):
    rng = np.random.default_rng(seed)
    candidates = rng.random((20, 64)) < rng.random() * 0.7
    rescued = ~candidates.any(axis=1)
    candidates[rescued, 0] = True
    base = run(candidates, (4, 4, 4, 8), (5, 5), (3, 9), rescued)[0][-1]
    for sizes, cycles, depths in (
        ((4, 4, 8, 8), (5, 5), (3, 9)),
        ((4, 4, 4, 16), (5, 5), (3, 9)),
        ((4, 4, 4, 8), (3, 5), (3, 9)),
        ((4, 4, 4, 8), (5, 3), (3, 9)),
        ((4, 4, 4, 8), (5, 5), (2, 9)),
    ):
        assert run(candidates, sizes, cycles, depths, rescued)[0][-1] <= base


def test_all_keys_of_all_queries_take_a_cycle_each_in_their_bank():
    ends, _ = run(np.ones((10, 64)), (4, 8, 16, 16), (3, 4), (3, 12))
    # 16 keys a bank and query, one after another; before them the way through the stages of looking and out of the
    # queue, behind them that through the worker's pipeline and to where the last query is merged.
    assert ends[-1] == (3 + 1) + 10 * 16 + (12 - 1) + 1 + 4


def test_equal_counts_in_one_bank_take_longer_than_spread_over_all():
    spread, packed = np.zeros((2, 50, 64), np.bool_)
    spread[:, :16] = True
    packed[:, ::4] = True  # all in bank 0
    assert run(packed)[0][-1] > 3 * run(spread)[0][-1]


def test_a_best_key_is_worked_on_two_cycles_after_all_have_been_looked_at():
    best = np.zeros((1, 64), np.bool_)
    best[0, 5] = True
    among, rescued = (run(best, rescued=np.array([flag]))[0][0] for flag in (False, True))
    # It goes from the queue once it is known to be the last, which is a cycle after the end.
    assert rescued == among + 1


def test_few_queries_held_wait_for_the_pipelines_end():
    one = np.zeros((40, 16), np.bool_)
    one[:, 0] = True
    deep = run(one, (1, 16, 16, 16), (1, 1), (3, 12))[0][-1]
    few = run(one, (1, 16, 16, 2), (1, 1), (3, 12))[0][-1]
    assert deep < 40 + 40
    # Two queries for each way from the hash to the output.
    assert few > 40 * (3 + 12) / 2
