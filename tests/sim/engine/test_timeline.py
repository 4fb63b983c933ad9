"""Does a timeline keep every amount, in the bin of its cycle?"""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.engine.timeline import BINS, FIRST_SHIFT, new_timeline, record

LANES = 3
events = st.lists(st.tuples(st.integers(0, LANES - 1), st.integers(0, 10**7), st.integers(0, 100)), max_size=60)


@given(events)
@settings(max_examples=60, deadline=None)
def test_bins_equal_a_histogram_at_the_final_width(log: list[tuple[int, int, int]]) -> None:
    bins, shift = new_timeline(LANES)
    for lane, cycle, amount in log:
        record(bins, shift, lane, cycle, amount)
    expected = np.zeros((LANES, BINS), np.int64)
    for lane, cycle, amount in log:
        expected[lane, cycle >> int(shift[0])] += amount
    assert np.array_equal(bins, expected)


@given(events)
@settings(max_examples=60, deadline=None)
def test_bins_are_as_narrow_as_the_latest_event_allows(log: list[tuple[int, int, int]]) -> None:
    bins, shift = new_timeline(LANES)
    for lane, cycle, amount in log:
        record(bins, shift, lane, cycle, amount)
    latest = max((cycle for _, cycle, _ in log), default=0)
    assert latest >> int(shift[0]) < BINS
    assert shift[0] == FIRST_SHIFT or latest >> (int(shift[0]) - 1) >= BINS
