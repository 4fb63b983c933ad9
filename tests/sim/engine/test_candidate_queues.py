"""Do banks, queues and workers take the cycles that a clocked simulation of them takes?"""

from __future__ import annotations

import numpy as np
import pytest

from siloom.sim.engine.candidate_queues import CAUSES, causes, scan_and_work
from siloom.sim.engine.candidate_queues_reference import scan_and_work_reference


def run(candidates, banks, width, slots, hashing, finish):
    candidates = np.asarray(candidates, np.bool_)
    ends = np.zeros(len(candidates), np.int64)
    counts = np.zeros((len(candidates), banks), np.int64)
    scan_and_work(candidates, banks, width, slots, hashing, finish, ends, counts)
    return ends, counts


@pytest.mark.parametrize("seed", range(150))
def test_every_end_equals_the_clocked_simulation(seed):
    rng = np.random.default_rng(seed)
    banks, width = (int(rng.integers(1, 6)) for _ in range(2))
    sizes = banks, width, int(rng.integers(width, width + 6)), int(rng.integers(1, 9)), int(rng.integers(1, 12))
    candidates = rng.random((int(rng.integers(1, 12)), int(rng.integers(1, 60)))) < rng.random()
    ends, counts = run(candidates, *sizes)
    assert ends.tolist() == scan_and_work_reference(candidates.tolist(), *sizes)
    assert [[int(row[bank::banks].sum()) for bank in range(banks)] for row in candidates] == counts.tolist()
    spent = np.zeros(len(CAUSES), np.int64)
    causes(ends, counts, candidates.shape[1], width, *sizes[3:], spent)
    assert spent.min() >= 0
    assert spent.sum() == ends[-1]
    # No stage can be faster than its own work.
    queries, keys = candidates.shape
    steps = -(-keys // (banks * width))
    assert ends[-1] >= max(queries * steps, counts.sum(axis=0).max(), queries * sizes[4], (queries - 1) * sizes[3])


@pytest.mark.parametrize("seed", range(30))
def test_longer_queues_and_faster_stages_are_never_slower(seed):
    rng = np.random.default_rng(seed)
    candidates = rng.random((20, 64)) < rng.random() * 0.7
    base = run(candidates, 4, 4, 4, 5, 5)[0][-1]
    assert run(candidates, 4, 4, 8, 5, 5)[0][-1] <= base
    assert run(candidates, 4, 4, 4, 3, 5)[0][-1] <= base
    assert run(candidates, 4, 4, 4, 5, 3)[0][-1] <= base


def test_all_keys_of_all_queries_take_a_cycle_each_in_their_bank():
    ends, _ = run(np.ones((10, 64)), 4, 8, 16, 3, 4)
    # 16 keys a bank and query; the first is there a cycle after it was looked at, the last query is then finished.
    assert ends[-1] == 1 + 10 * 16 + 4


def test_equal_counts_in_one_bank_take_longer_than_spread_over_all():
    spread, packed = np.zeros((2, 50, 64), np.bool_)
    spread[:, :16] = True
    packed[:, ::4] = True  # all in bank 0
    assert run(packed, 4, 4, 8, 1, 1)[0][-1] > 3 * run(spread, 4, 4, 8, 1, 1)[0][-1]


def test_nothing_to_work_on_leaves_the_time_of_looking():
    ends, _ = run(np.zeros((7, 64)), 4, 4, 8, 1, 1)
    assert ends[-1] == 7 * 4 + 1
