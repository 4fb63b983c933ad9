"""Fronts and hypervolumes of points that are to be small in every coordinate.

A point dominates another that it is nowhere worse than and somewhere better than. Equal points do not dominate each
other: all of them are on the front. Points with NaN are on none.
"""

from __future__ import annotations

import bisect
import math

import numpy as np
from numpy.typing import NDArray

from siloom.sim.engine.staircase import sweep
from siloom.sim.errors import UsageError

Values = NDArray[np.float64]

_SAMPLED = 2048


def front(values: Values) -> NDArray[np.bool_]:
    """Which of ``values`` [points, objectives] no other dominates.

    Two objectives take one sort, three a sort and a tree: n log n, however many are on the front. More take a pass
    over what is left for each point of the front, best ranks first.
    """
    keep = np.zeros(len(values), dtype=bool)
    candidates = np.flatnonzero(~np.isnan(values).any(axis=1))
    if not len(candidates):
        return keep
    points = values[candidates]
    if values.shape[1] <= 2:
        keep[candidates[_front_of_two(points)]] = True
        return keep
    if values.shape[1] == 3:
        keep[candidates] = _front_of_three(points)
        return keep
    # Ranks add up without rounding: what dominates a point has a smaller sum, so the first left is always on the front.
    sums = sum(np.unique(column, return_inverse=True)[1] for column in points.T)
    order = np.argsort(sums, kind="stable")
    points, candidates = points[order], candidates[order]
    while len(candidates):
        best = points[0]
        equal = (points == best).all(axis=1)
        keep[candidates[equal]] = True
        left = ~equal & (points < best).any(axis=1)
        points, candidates = points[left], candidates[left]
    return keep


def _front_of_two(points: Values) -> NDArray[np.int64]:
    """Positions of the front of one or two objectives: in order of the first, those that set a record in the second."""
    first, second = points[:, 0], points[:, -1]
    order = np.lexsort((second, first))
    x, y = first[order], second[order]
    before = np.concatenate(([np.inf], np.minimum.accumulate(y)[:-1]))
    record = (y < before) | (np.arange(len(y)) == 0)
    if points.shape[1] == 1:
        return np.asarray(order[x == x[0]])
    # Points equal to the record before them are as good.
    last = np.maximum.accumulate(np.where(record, np.arange(len(y)), 0))
    return np.asarray(order[(x == x[last]) & (y == y[last])])


def _front_of_three(points: Values) -> NDArray[np.bool_]:
    """Which points are on the front: none behind another in the order of all three coordinates can dominate it."""
    order = np.lexsort(points.T[::-1])
    ordered = points[order]
    fresh = np.append(True, (ordered[1:] != ordered[:-1]).any(axis=1))
    # Ranks stand for coordinates: infinite ones too are then below the tree's empty places.
    second, third = (np.unique(ordered[fresh, n], return_inverse=True)[1].astype(np.int64) for n in (1, 2))
    best = np.zeros(len(second), dtype=np.bool_)
    sweep(second, third, best)
    keep = np.empty(len(points), dtype=np.bool_)
    keep[order] = best[np.cumsum(fresh) - 1]  # equal points share their fate
    return keep


def pruners(values: Values, count: int) -> Values:
    """At most ``count`` of ``values`` [points, objectives] that together dominate most of the others.

    What one of them dominates is on no front: a cheap test before an exact one. They are
    chosen one after another, each for what those before it leave, from a sample at even distances.
    """
    left = values[~np.isnan(values).any(axis=1)]
    left = left[:: -(-len(left) // _SAMPLED) or 1]
    best = left[front(left)]
    chosen: list[Values] = []
    while len(chosen) < count and len(best):
        beaten = np.ones((len(best), len(left)), dtype=bool)
        equal = beaten.copy()
        for mine, theirs in zip(best.T, left.T, strict=True):
            beaten &= mine[:, None] <= theirs
            equal &= mine[:, None] == theirs
        beaten &= ~equal
        wins = beaten.sum(axis=1)
        first = int(wins.argmax())
        if not wins[first]:
            break
        chosen.append(best[first])
        left = left[~beaten[first]]
    return np.array(chosen).reshape(-1, values.shape[1])


def hypervolume(values: Values, reference: Values) -> float:
    """The volume that ``values`` [points, objectives] dominate below ``reference``; exact, one to three objectives.

    Raises:
        UsageError: more objectives than three.
    """
    if values.shape[1] > 3:
        raise UsageError(f"hypervolume: at most 3 objectives, got {values.shape[1]}")
    inside = values[(values < reference).all(axis=1)]
    if not len(inside):
        return 0.0
    inside = inside[front(inside)]
    if values.shape[1] == 1:
        return float(reference[0] - inside.min())
    if values.shape[1] == 2:
        return _area(inside, reference)
    # Slices between neighbouring third coordinates; each holds what the points below it dominate in the other two.
    stairs = _Stairs(float(reference[0]), float(reference[1]))
    volume, area, floor = 0.0, 0.0, 0.0
    for x, y, z in inside[np.argsort(inside[:, 2], kind="stable")].tolist():
        volume += area * (z - floor)
        area += stairs.add(x, y)
        floor = z
    return volume + area * (float(reference[2]) - floor)


class _Stairs:
    """The front of two objectives as points come, with ``x`` rising and ``y`` falling."""

    def __init__(self, right: float, top: float) -> None:
        self._x = [-math.inf, right]
        self._y = [top, -math.inf]

    def add(self, x: float, y: float) -> float:
        """Take a point in; the area that it dominates and none before it did."""
        first = bisect.bisect_right(self._x, x)
        if self._y[first - 1] <= y:
            return 0.0
        left, height, gained, behind = x, self._y[first - 1], 0.0, first
        while True:
            gained += (self._x[behind] - left) * (height - y)
            left, height = self._x[behind], self._y[behind]
            if height < y or behind + 1 == len(self._x):
                break
            behind += 1
        self._x[first:behind] = [x]
        self._y[first:behind] = [y]
        return gained


def _area(points: Values, reference: Values) -> float:
    stairs = points[_front_of_two(points)]
    width = np.append(stairs[1:, 0], reference[0]) - stairs[:, 0]
    return float((width * (reference[1] - stairs[:, 1])).sum())
