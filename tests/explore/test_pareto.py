"""Fronts and hypervolumes against the definitions, written out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from siloom.explore.pareto import front, hypervolume, pruners


def by_definition(values):
    """Not dominated by any other point."""
    return np.array([not ((values <= p).all(axis=1) & (values < p).any(axis=1)).any() for p in values], dtype=bool)


@settings(deadline=None)  # the first call compiles
@given(
    st.integers(1, 4).flatmap(
        lambda d: st.integers(1, 30).flatmap(
            lambda n: arrays(
                np.float64, (n, d), elements=st.sampled_from([0.0, -0.0, 1.0, 2.0, 2.5, 1e300, -1e300, np.inf])
            )
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
    assert front(np.empty((0, 2))).tolist() == []


@settings(deadline=None)  # the first call compiles
@given(
    st.integers(1, 3).flatmap(
        lambda d: st.integers(1, 25).flatmap(lambda n: arrays(np.int64, (n, d), elements=st.integers(0, 8)))
    )
)
def test_hypervolume_counts_the_unit_cells_that_are_dominated(points):
    size = 7
    grid = np.stack(np.meshgrid(*[np.arange(size)] * points.shape[1], indexing="ij"), axis=-1).reshape(
        -1, points.shape[1]
    )
    cells = np.zeros(len(grid), dtype=bool)
    for p in points:
        cells |= (grid >= p).all(axis=1)
    found = hypervolume(points.astype(float), np.full(points.shape[1], float(size)))
    assert found == pytest.approx(cells.sum())


@pytest.mark.parametrize("objectives", [2, 3])
def test_a_surface_of_a_hundred_thousand_points_is_all_front(objectives):
    """On a sphere's positive octant nobody dominates anybody: the most that a front can be asked."""
    points = np.abs(np.random.default_rng(7).normal(size=(100_000, objectives)))
    assert front(points / np.linalg.norm(points, axis=1)[:, None]).all()


@settings(deadline=None)
@given(
    st.integers(1, 4).flatmap(
        lambda d: st.integers(1, 40).flatmap(lambda n: arrays(np.int64, (n, d), elements=st.integers(0, 5)))
    ),
    st.integers(1, 5),
)
def test_pruners_are_of_the_front_and_rule_out_nothing_of_it(points, count):
    values = points.astype(float)
    chosen = pruners(values, count)
    assert len(chosen) <= count
    on_front = by_definition(values)
    for one in chosen:
        assert on_front[(values == one).all(axis=1)].all()
        assert not on_front[(values >= one).all(axis=1) & (values > one).any(axis=1)].any()
    assert len(chosen) or on_front.all()


def test_a_point_without_bottom_has_no_finite_hypervolume():
    assert hypervolume(np.array([[0.0, -np.inf, 0.0], [1.0, 0.0, 0.5]]), np.full(3, 2.0)) == np.inf
