"""Fronts and hypervolumes of points that are to be small in every coordinate.

A point dominates another that it is nowhere worse than and somewhere better than. Equal points do not dominate each
other: all of them are on the front. Points with NaN are on none.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from siloom.sim.errors import UsageError

Values = NDArray[np.float64]


def front(values: Values) -> NDArray[np.bool_]:
    """Which of ``values`` [points, objectives] no other dominates.

    Two objectives take one sort; more take a pass over what is left for each point of the front, best sums first.
    """
    keep = np.zeros(len(values), dtype=bool)
    candidates = np.flatnonzero(~np.isnan(values).any(axis=1))
    if not len(candidates):
        return keep
    points = values[candidates]
    if values.shape[1] <= 2:
        keep[candidates[_front_of_two(points)]] = True
        return keep
    # Sums of equal weight: a scale of its own for each objective, so that none decides the order alone.
    width = points.max(axis=0) - points.min(axis=0)
    with np.errstate(invalid="ignore", over="ignore"):
        sums = ((points - points.min(axis=0)) / np.where(np.isfinite(width) & (width > 0), width, 1.0)).sum(axis=1)
    order = np.argsort(np.nan_to_num(sums, nan=np.inf), kind="stable")
    points, candidates = points[order], candidates[order]
    while len(candidates):
        best = points[0]
        # A later point may still dominate the first where sums are equal after rounding.
        first = not ((points <= best).all(axis=1) & (points < best).any(axis=1)).any()
        equal = (points == best).all(axis=1)
        if first:
            keep[candidates[equal]] = True
        left = ~equal & ((points < best).any(axis=1) if first else True)
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


def ranks(values: Values) -> NDArray[np.int64]:
    """Each point's front: 0 for that of all, 1 for that of what is left without it, and so on; -1 for NaN."""
    out = np.full(len(values), -1, dtype=np.int64)
    left = np.flatnonzero(~np.isnan(values).any(axis=1))
    rank = 0
    while len(left):
        best = front(values[left])
        out[left[best]] = rank
        left = left[~best]
        rank += 1
    return out


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
    inside = inside[np.argsort(inside[:, 2], kind="stable")]
    tops = np.append(inside[1:, 2], reference[2])
    return float(
        sum(
            _area(inside[: n + 1, :2], reference[:2]) * (top - point[2])
            for n, (point, top) in enumerate(zip(inside, tops, strict=True))
            if top > point[2]
        )
    )


def _area(points: Values, reference: Values) -> float:
    stairs = points[_front_of_two(points)]
    width = np.append(stairs[1:, 0], reference[0]) - stairs[:, 0]
    return float((width * (reference[1] - stairs[:, 1])).sum())
