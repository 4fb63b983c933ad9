"""Is every cycle of a pipeline's run some stage's work on some item?"""

from __future__ import annotations

from functools import cache

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.engine.pipeline import constant_makespan, run_pipeline
from siloom.sim.engine.pipeline_path import longest_path


@st.composite
def runs(draw):
    items, stages = draw(st.integers(0, 8)), draw(st.integers(1, 4))
    row = st.lists(st.integers(0, 9), min_size=stages, max_size=stages)
    service = np.array(draw(st.lists(row, min_size=items, max_size=items)), np.int64).reshape(items, stages)
    slots = np.array(draw(st.lists(st.integers(0, 3), min_size=stages - 1, max_size=stages - 1)), np.int64)
    return service, slots


@settings(max_examples=400, deadline=None)
@given(runs())
def test_the_links_add_up_to_the_makespan(run):
    service, slots = run
    timed = run_pipeline(service, slots)
    assert service[longest_path(service, slots, timed.departures)].sum() == timed.makespan


def longest_by_constraints(service, slots):
    """The makespan by another road: the longest way through 'leaves after' relations, without departures."""
    stages = service.shape[1]

    @cache
    def leaves(i, s):
        if i < 0:
            return 0
        begins = max(leaves(i, s - 1) if s else 0, leaves(i - 1, s))
        room = leaves(i - int(slots[s]) - 1, s + 1) if s + 1 < stages else 0
        return max(begins + int(service[i, s]), room)

    return leaves(len(service) - 1, stages - 1) if len(service) else 0


@settings(max_examples=200, deadline=None)
@given(runs())
def test_a_link_made_longer_makes_the_run_longer_by_as_much(run):
    service, slots = run
    timed = run_pipeline(service, slots)
    assert timed.makespan == longest_by_constraints(service, slots)
    for i, s in np.argwhere(longest_path(service, slots, timed.departures)):
        longer = service.copy()
        longer[i, s] += 5
        assert longest_by_constraints(longer, slots) == timed.makespan + 5


def test_the_slowest_stage_gets_what_is_not_the_first_items_way_to_it_and_the_last_ones_from_it():
    service = np.tile(np.array([2, 7, 3], np.int64), (10, 1))
    slots = np.array([1, 0])
    timed = run_pipeline(service, slots)
    links = longest_path(service, slots, timed.departures).sum(axis=0)
    assert links.tolist() == [1, 10, 1]
    assert timed.makespan == constant_makespan(10, (2, 7, 3)) == 2 + 70 + 3
