"""Does the search find the rows that the largest and smallest products say?"""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.errors import InputError
from siloom.sim.units.greedy_search import (
    HIGH,
    LOW,
    REFINEMENTS,
    UNIT,
    GreedySearch,
    contract,
    greedy_scores,
    greedy_search_reference,
    sorted_ends,
)


def scores(queries, keys, iterations, refinement="skip"):
    keys, queries = np.array(keys, np.int32), np.array(queries, np.int32)
    ends = sorted_ends(keys, min(len(keys), iterations))
    return greedy_scores(queries, *ends, len(keys), iterations, REFINEMENTS.index(refinement))


@pytest.mark.parametrize("refinement", REFINEMENTS)
def test_every_2_bit_query_of_2_and_keys_of_2_rows(refinement):
    # Eight bits of operands in all, and half of them more.
    values = range(-2, 2)
    queries = list(product(values, repeat=2))
    for flat in product(values, repeat=4):
        keys = [flat[:2], flat[2:]]
        for iterations in (1, 2, 3, 4, 5):
            expected = [greedy_search_reference(q, keys, iterations, refinement) for q in queries]
            assert scores(queries, keys, iterations, refinement).tolist() == expected


@st.composite
def problems(draw, top=20):
    rows, columns = draw(st.integers(1, 9)), draw(st.integers(1, 7))
    values = st.integers(-top, top)
    vector = st.lists(values, min_size=columns, max_size=columns)
    return draw(vector), draw(st.lists(vector, min_size=rows, max_size=rows)), draw(st.integers(1, 30))


@settings(max_examples=300, deadline=None)
@given(problems(top=4) | problems(top=255), st.sampled_from(REFINEMENTS))
def test_kernel_equals_the_search_without_sorting(problem, refinement):
    query, keys, iterations = problem
    expected = greedy_search_reference(query, keys, iterations, refinement)
    assert scores([query], keys, iterations, refinement)[0].tolist() == expected


@settings(deadline=None)
@given(problems())
def test_when_all_products_are_taken_the_greedy_score_is_the_score(problem):
    query, keys, _ = problem
    every = len(query) * len(keys)
    exact = (np.array(keys) @ np.array(query)).tolist()
    assert scores([query], keys, every, "off")[0].tolist() == exact


@settings(deadline=None)
@given(problems(), st.sampled_from(REFINEMENTS))
def test_at_most_one_more_candidate_an_iteration(problem, refinement):
    query, keys, iterations = problem
    found = scores([query], keys, iterations, refinement)[0]
    assert np.count_nonzero(found > 0) <= min(iterations, len(keys))
    assert np.count_nonzero(found) <= 2 * iterations


@settings(deadline=None)
@given(st.integers(1, 8), st.integers(1, 6), st.integers(1, 30), st.randoms(use_true_random=False))
def test_permuting_the_keys_permutes_the_scores(rows, columns, iterations, chance):
    # Values and elements that no two products share: there are no ties.
    factors = chance.sample([n for n in range(2, 400) if all(n % d for d in range(2, n))], columns)
    values = chance.sample(range(-200, 200), rows * columns)
    keys = np.array(values).reshape(rows, columns)
    if len({f * v for row in keys for f, v in zip(factors, row, strict=True)}) < rows * columns:
        return
    order = chance.sample(range(rows), rows)
    for refinement in REFINEMENTS:
        straight = scores([factors], keys, iterations, refinement)[0]
        assert (scores([factors], keys[order], iterations, refinement)[0] == straight[order]).all()


@settings(deadline=None)
@given(problems())
def test_a_query_turned_round_sees_keys_turned_round(problem):
    query, keys, iterations = problem
    turned = [[-v for v in row] for row in keys]
    here = scores([query], keys, iterations)[0]
    assert (here == scores([[-q for q in query]], turned, iterations)[0]).all()


def test_ties_go_to_the_lowest_column_and_in_it_to_the_lowest_row():
    keys = [[3, 3], [3, 3], [0, 0]]
    assert scores([[1, 1]], keys, 1)[0].tolist() == [3, 0, 0]
    assert scores([[1, 1]], keys, 3)[0].tolist() == [6, 3, 0]
    assert scores([[-1, -1]], [[-v for v in row] for row in keys], 3)[0].tolist() == [6, 3, 0]


def test_while_the_sum_is_negative_the_smallest_waits_moves_or_counts():
    # After 10 - 30 the sum is negative until 9, 8 and 7 have been added.
    keys = [[10, 0], [-30, 0], [-8, 0], [-7, 0], [0, 9], [0, 8], [0, 7]]
    assert scores([[1, 1]], keys, 4, "off")[0].tolist() == [10, -30, -8, -7, 9, 8, 7]
    assert scores([[1, 1]], keys, 4, "skip")[0].tolist() == [10, -30, -8, 0, 9, 8, 7]
    assert scores([[1, 1]], keys, 4, "drop")[0].tolist() == [10, -30, 0, 0, 9, 8, 7]


def beats_for(keys, queries, design):
    """The beats that write the memories, then the queries."""
    low, low_row, high, high_row = sorted_ends(np.array(keys, np.int32), design.depth)
    out = [[LOW, p, *low[:, p], *low_row[:, p]] for p in range(design.depth)]
    out += [[HIGH, p, *high[:, p], *high_row[:, p]] for p in range(design.depth)]
    out += [[2, 0, *q, *([0] * design.columns)] for q in queries]
    return np.array(out, np.int64)


def test_the_unit_searches_what_was_written_into_it():
    design = UNIT.sizes[1]
    rng = np.random.default_rng(0)
    keys = rng.integers(-255, 256, (design.rows, design.columns))
    queries = rng.integers(-255, 256, (5, design.columns))
    answer = contract(design).answer(beats_for(keys, queries, design))
    assert (answer.beats == (scores(queries, keys, design.iterations) > 0)).all()
    assert answer.cause.tolist() == [2 * design.depth + i for i in range(5)]


def test_a_query_takes_its_iterations_and_a_place_one_cycle():
    design = GreedySearch(rows=4, columns=2, iterations=3, fill_cycles=2)
    promise = contract(design)
    beats = beats_for([[1, 2], [3, 4], [5, 6], [7, 8]], [[1, 1], [1, -1]], design)
    timed = promise.schedule(beats, np.zeros(len(beats), np.int64), np.ones(0, bool))
    assert timed.taken.tolist() == [0, 1, 2, 3, 4, 5, 6, 12]
    assert timed.shown.tolist() == [12, 18]


def test_any_beats_are_made_legal():
    design = UNIT.sizes[2]
    promise = contract(design)
    rng = np.random.default_rng(1)
    beats = np.stack([rng.integers(f.low, f.high + 1, 50) for f in promise.inputs.formats], axis=1)
    legal = promise.legal(beats)
    assert len(promise.answer(legal).beats) == np.count_nonzero(beats[:, 0] > HIGH)


def test_settings_out_of_range_are_named():
    with pytest.raises(InputError, match="refinement must be one of skip, drop, off, got 'none'"):
        UNIT.design_type(refinement="none")
    with pytest.raises(InputError, match="iterations must be at least 1, got 0"):
        UNIT.design_type(iterations=0)
