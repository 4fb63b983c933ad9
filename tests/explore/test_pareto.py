"""Fronts, ranks and hypervolumes against the definitions, written out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from siloom.explore.pareto import front, hypervolume, ranks


def by_definition(values):
    """Not dominated by any other point."""
    return np.array([not ((values <= p).all(axis=1) & (values < p).any(axis=1)).any() for p in values], dtype=bool)


@given(
    st.integers(1, 4).flatmap(
        lambda d: st.integers(1, 30).flatmap(
            lambda n: arrays(np.float64, (n, d), elements=st.sampled_from([0.0, 1.0, 2.0, 2.5, 1e300, -1e300]))
        )
    )
)
def test_the_front_is_what_nobody_dominates(values):
    assert (front(values) == by_definition(values)).all()


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_many_random_points_too(objectives):
    values = np.random.default_rng(objectives).random((700, objectives))
    assert (front(values) == by_definition(values)).all()


def test_nan_is_on_no_front():
    values = np.array([[1.0, np.nan], [2.0, 2.0], [np.nan, 0.0]])
    assert front(values).tolist() == [False, True, False]
    assert ranks(values).tolist() == [-1, 0, -1]
    assert front(np.empty((0, 2))).tolist() == []


def test_ranks_are_fronts_peeled_off():
    values = np.random.default_rng(5).random((200, 3))
    found = ranks(values)
    left = np.ones(len(values), dtype=bool)
    for rank in range(found.max() + 1):
        expected = np.zeros(len(values), dtype=bool)
        expected[np.flatnonzero(left)[by_definition(values[left])]] = True
        assert ((found == rank) == expected).all()
        left &= ~expected


@given(
    st.integers(1, 3).flatmap(
        lambda d: st.integers(1, 8).flatmap(lambda n: arrays(np.int64, (n, d), elements=st.integers(0, 6)))
    )
)
def test_hypervolume_counts_the_unit_cells_that_are_dominated(points):
    size = 5
    grid = np.stack(np.meshgrid(*[np.arange(size)] * points.shape[1], indexing="ij"), axis=-1).reshape(
        -1, points.shape[1]
    )
    cells = np.zeros(len(grid), dtype=bool)
    for p in points:
        cells |= (grid >= p).all(axis=1)
    found = hypervolume(points.astype(float), np.full(points.shape[1], float(size)))
    assert found == pytest.approx(cells.sum())
