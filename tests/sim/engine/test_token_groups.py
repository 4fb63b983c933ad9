"""Do groups' rounds and the shared array take as long as cycle by cycle, and never longer with more hardware?"""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.engine.token_groups import VISIT_CAUSES, owner_bitmaps, round_times, share_array, visit_groups
from siloom.sim.engine.token_groups_reference import array_cycles, round_cycles
from siloom.sim.units.token_scheduler import buffer_order


def rounds_of(keys):
    return np.repeat(np.arange(len(keys)), keys).astype(np.int64)


def time_of(keys, key_bytes, port, ahead, side, each):
    rounds = rounds_of(keys)
    return round_times(rounds, len(rounds), key_bytes, port, ahead, side, each, np.empty(len(keys), np.int64))


pipelines = st.tuples(
    st.lists(st.integers(1, 4), min_size=1, max_size=14),
    st.integers(1, 12),  # key_bytes
    st.integers(1, 12),  # port
    st.integers(1, 4),  # ahead
    st.integers(1, 3),  # side
    st.integers(1, 5),  # each
)


@settings(max_examples=400, deadline=None)
@given(pipelines)
def test_rounds_take_as_long_as_cycle_by_cycle(case):
    assert time_of(*case) == round_cycles(*case)


@settings(max_examples=200, deadline=None)
@given(pipelines, st.integers(2, 5))
def test_a_wider_port_more_room_more_places_and_faster_ones_are_never_slower(case, at):
    before = time_of(*case)
    better = list(case)
    better[at] += 1 if at < 5 else -1
    if better[at] > 0:
        assert time_of(*better) <= before


@settings(deadline=None)
@given(pipelines)
def test_rounds_are_at_or_above_their_closed_forms(case):
    keys, key_bytes, port, _, side, each = case
    assert time_of(*case) >= max(-(-len(keys) // side) * each, -(-sum(keys) * key_bytes // port) + each)


chains = st.integers(0, 7).flatmap(
    lambda groups: st.tuples(*[st.lists(st.integers(0, 9), min_size=groups, max_size=groups) for _ in range(6)])
)


def share(stages, latency):
    waits = np.empty(3, np.int64)
    return int(share_array(*(np.array(s, np.int64) for s in stages), latency, waits)), waits


@settings(max_examples=400, deadline=None)
@given(chains, st.integers(0, 4))
def test_the_shared_array_takes_as_long_as_cycle_by_cycle(stages, latency):
    cycles, waits = share(stages, latency)
    assert (cycles, *waits[:2].tolist()) == array_cycles(*stages, latency)


@settings(deadline=None)
@given(chains, st.integers(0, 4))
def test_work_and_waiting_add_up(stages, latency):
    cycles, waits = share(stages, latency)
    detect, select, schedule, _, visits, softmax = map(sum, stages)
    assert cycles == detect + 2 * visits + waits.sum()
    assert cycles >= max(select, schedule, softmax)


@settings(deadline=None)
@given(chains, st.integers(0, 4), st.integers(0, 5), st.data())
def test_a_shorter_stage_is_never_slower(stages, latency, at, data):
    if not stages[0]:
        return
    group = data.draw(st.integers(0, len(stages[0]) - 1))
    shorter = [list(s) for s in stages]
    shorter[at][group] = max(0, shorter[at][group] - 3)
    assert share(shorter, latency)[0] <= share(stages, latency)[0]


def visits(mask, ordered=False, per_round=4, port=128, ahead=4, side=2, each=1):
    owners = np.empty((-(-len(mask) // 4), mask.shape[1]), np.int64)
    owner_bitmaps(mask, 4, owners)
    spent, counts = (np.empty((len(owners), 4), np.int64) for _ in range(2))
    visit_groups(owners, buffer_order(4), 4, per_round, ordered, 128, port, ahead, side, each, spent, counts)
    return owners, spent, counts


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 11), st.booleans())
def test_causes_are_not_negative_and_counts_are_those_of_the_mask(seed, rows, ordered):
    mask = np.random.default_rng(seed).random((rows, 30)) < 0.3
    owners, spent, counts = visits(mask, ordered)
    assert (spent >= 0).all()
    assert spent.shape[1] == len(VISIT_CAUSES)
    assert counts[:, 0].sum() == mask.sum()
    for g in range(len(owners)):
        group = mask[4 * g : 4 * g + 4]
        assert owners[g].tolist() == (group * 2 ** np.arange(len(group))[:, None]).sum(axis=0).tolist()
        assert counts[g, 1] == group.sum(axis=1).max()
        if not ordered:
            assert counts[g, 2] == group.any(axis=0).sum()
    if not mask.any():
        assert not spent.any()


def test_at_equal_density_rows_that_share_keys_are_faster_and_order_matters_only_where_some_do():
    keys = 64
    shared, apart, shifted = (np.zeros((4, keys), bool) for _ in range(3))
    shared[:, :16] = True
    for t in range(4):
        apart[t, 16 * t : 16 * t + 16] = True
        shifted[t, 4 * t : 4 * t + 16] = True
    times = {
        name: [int(visits(mask, ordered)[1].sum()) for ordered in (False, True)]
        for name, mask in (("shared", shared), ("apart", apart), ("shifted", shifted))
    }
    # One key a cycle: 16 keys, or 64, and one cycle for the last round.
    assert times["shared"] == [17, 17]
    assert times["apart"] == [65, 65]
    out_of_order, in_order = times["shifted"]
    assert times["shared"][0] < out_of_order < in_order <= times["apart"][0]
