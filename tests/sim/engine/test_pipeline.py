"""Is the pipeline engine the valid/ready pipeline it claims to be, and within its closed forms?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.engine.pipeline import (
    PipelineRun,
    constant_makespan,
    departure,
    least_makespan,
    most_makespan,
    run_pipeline,
    run_unbounded,
)
from siloom.sim.engine.pipeline_reference import run_pipeline_reference
from siloom.sim.errors import InputError


class Case(NamedTuple):
    service: np.ndarray
    slots: np.ndarray
    arrivals: np.ndarray

    def run(self) -> PipelineRun:
        return run_pipeline(self.service, self.slots, self.arrivals)


@st.composite
def cases(draw: st.DrawFn, most_cycles: int = 5) -> Case:
    items, stages = draw(st.integers(1, 12)), draw(st.integers(1, 5))
    service = [[draw(st.integers(0, most_cycles)) for _ in range(stages)] for _ in range(items)]
    slots = [draw(st.integers(0, 3)) for _ in range(stages - 1)]
    arrivals = [draw(st.integers(0, 20)) for _ in range(items)]
    return Case(np.array(service), np.array(slots, np.int64), np.array(arrivals))


fixed_seed = settings(derandomize=True, deadline=None, max_examples=200)


@fixed_seed
@given(cases())
def test_equals_the_cycle_by_cycle_reference(case: Case) -> None:
    run = case.run()
    departures, counts = run_pipeline_reference(case.service.tolist(), case.slots.tolist(), case.arrivals.tolist())
    assert run.departures.tolist() == departures
    for cause in ("busy", "starved", "blocked"):
        assert getattr(run, cause).tolist() == [stage[cause] for stage in counts], cause


@fixed_seed
@given(cases(most_cycles=1000))
def test_causes_add_up_to_the_makespan_in_every_stage(case: Case) -> None:
    run = case.run()
    parts = np.stack([run.busy, run.starved, run.blocked])
    assert (parts >= 0).all()
    assert (parts.sum(axis=0) == run.makespan).all()
    assert (run.busy == case.service.sum(axis=0)).all()
    assert run.blocked[-1] == 0


@fixed_seed
@given(cases(most_cycles=1000))
def test_makespan_is_within_the_closed_forms(case: Case) -> None:
    run = case.run()
    least = least_makespan(case.service, case.arrivals)
    assert least >= case.service.sum(axis=0).max()
    assert least >= (case.arrivals + case.service.sum(axis=1)).max()
    assert least <= run_unbounded(case.service, case.arrivals).makespan <= run.makespan
    assert run.makespan <= most_makespan(case.service, case.arrivals)


@fixed_seed
@given(cases(most_cycles=50), st.data())
def test_more_slots_never_delay_an_item(case: Case, data: st.DataObject) -> None:
    more = case.slots + [data.draw(st.integers(0, 3)) for _ in case.slots]
    assert (run_pipeline(case.service, more, case.arrivals).departures <= case.run().departures).all()


@fixed_seed
@given(cases(most_cycles=50), st.data())
def test_more_service_never_hurries_an_item(case: Case, data: st.DataObject) -> None:
    slower = case.service.copy()
    slower[data.draw(st.integers(0, len(slower) - 1)), data.draw(st.integers(0, slower.shape[1] - 1))] += 7
    assert (run_pipeline(slower, case.slots, case.arrivals).departures >= case.run().departures).all()


@fixed_seed
@given(cases(most_cycles=50))
def test_makespan_is_the_same_backwards(case: Case) -> None:
    """Muth's reversibility (1979, recalled): the last item first through the last stage first takes as long."""
    forward = run_pipeline(case.service, case.slots).makespan
    assert run_pipeline(case.service[::-1, ::-1], case.slots[::-1]).makespan == forward


@fixed_seed
@given(st.integers(0, 30), st.lists(st.integers(0, 9), min_size=1, max_size=5), st.data())
def test_constant_service_takes_fill_and_one_slowest_stage_per_item(
    items: int, service: list[int], data: st.DataObject
) -> None:
    slots = [data.draw(st.integers(0, 2)) for _ in service[1:]]
    run = run_pipeline(np.tile(np.array(service), (items, 1)), slots)
    assert run.makespan == constant_makespan(items, tuple(service))


@fixed_seed
@given(cases(most_cycles=50))
def test_endless_queues_never_block_and_equal_a_queue_for_every_item(case: Case) -> None:
    ideal = run_unbounded(case.service, case.arrivals)
    assert not ideal.blocked.any()
    as_long_as_needed = run_pipeline(case.service, np.full_like(case.slots, len(case.service)), case.arrivals)
    assert (ideal.departures == as_long_as_needed.departures).all()


@fixed_seed
@given(cases())
def test_no_service_passes_items_through_as_they_arrive(case: Case) -> None:
    run = run_pipeline(np.zeros_like(case.service), case.slots, case.arrivals)
    in_order = np.maximum.accumulate(case.arrivals)
    assert (run.departures == in_order[:, None]).all()


def test_a_slow_last_stage_blocks_the_one_before_it_slot_by_slot() -> None:
    """Three items, 1 then 4 cycles: item 2 finishes at 2 but has no room until item 0 leaves at 5."""
    service = [[1, 4]] * 3
    none, one = run_pipeline(service, [0]), run_pipeline(service, [1])
    assert none.departures.tolist() == [[1, 5], [5, 9], [9, 13]]
    assert one.departures.tolist() == [[1, 5], [2, 9], [5, 13]]
    assert (none.busy.tolist(), none.starved.tolist(), none.blocked.tolist()) == ([3, 12], [4, 1], [6, 0])


def test_the_shared_step_is_the_recurrence() -> None:
    assert [departure(3, 5, 2, 0), departure(5, 3, 2, 0), departure(3, 5, 2, 9)] == [7, 7, 9]


def test_no_items_take_no_cycles() -> None:
    run = run_pipeline(np.zeros((0, 3), np.int64), [1, 1])
    assert (run.makespan, run.departures.shape, run.starved.tolist()) == (0, (0, 3), [0, 0, 0])
    assert least_makespan(np.zeros((0, 3), np.int64)) == 0


def test_the_operands_are_not_written() -> None:
    service = np.ones((4, 2), np.int64)
    service.flags.writeable = False
    assert run_pipeline(service, [0]).makespan == 5


def test_cycles_near_the_limit_do_not_wrap() -> None:
    run = run_pipeline([[2**60, 2**60], [2**60, 2**60 - 1]], [0])
    assert run.makespan == 3 * 2**60 - 1


BAD = {
    "pipeline: service[1, 0] must not be negative, got -3": ([[1, 2], [-3, 4]], [0], None),
    "pipeline: service[0, 1] must be below 2^62, got 4611686018427387904": ([[1, 2**62]], [0], None),
    "pipeline: service[0, 0] must be below 2^62, got 18446744073709551615": (np.array([[2**64 - 1]], "u8"), [], None),
    "pipeline: service must hold whole numbers below 2^62, got float64": ([[1.5, 2.0]], [0], None),
    "pipeline: service must hold whole numbers below 2^62, got object": ([[2**80]], [], None),
    "pipeline: service must have shape any x any, got 3": ([1, 2, 3], [0], None),
    "pipeline: service must have shape any x 1, got 2 x 0": ([[], []], [], None),
    "pipeline: service must be an array of whole numbers": ([[1, 2], [3]], [0], None),
    "pipeline: slots must have shape 1, got 2": ([[1, 2]], [0, 1], None),
    "pipeline: slots[0] must not be negative, got -1": ([[1, 2]], [-1], None),
    "pipeline: arrivals must have shape 1, got 2": ([[1, 2]], [0], [0, 0]),
    "pipeline: arrivals[0] must not be negative, got -9": ([[1, 2]], [0], [-9]),
    f"pipeline: the run may take {2**62} cycles, it must stay below {2**62}": ([[2**61], [2**61 - 1]], [], [0, 1]),
}


@pytest.mark.parametrize("message", BAD)
def test_refuses_with_field_rule_and_value(message: str) -> None:
    with pytest.raises(InputError) as caught:
        run_pipeline(*BAD[message])
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
