"""A straight line between given points in log-log: how all tables of costs are read between rows."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping

from siloom.sim.errors import InputError


def log_log(points: Mapping[float, float], at: float, *, extend: bool) -> float:
    """Value at ``at`` on the line through ``points`` (x -> y, all positive), exact on a point.

    ``extend`` prolongs the first and the last segment beyond the ends; without it they are limits.
    """
    if at in points:
        return points[at]
    xs = sorted(points)
    if len(xs) == 1:
        return points[xs[0]]
    if not extend:
        at = min(max(at, xs[0]), xs[-1])
        if at in points:
            return points[at]
    right = min(max(bisect_right(xs, at), 1), len(xs) - 1)
    low, high = xs[right - 1], xs[right]
    share = math.log(at / low) / math.log(high / low)
    return points[low] * math.pow(points[high] / points[low], share)


def within(owner: str, name: str, value: float, low: float, high: float, unit: str) -> float:
    """``value`` if it lies in [low, high], else InputError."""
    if not low <= value <= high:  # NaN too
        raise InputError(f"{owner}: {name} must be {low:g} to {high:g} {unit}, got {value:g}")
    return float(value)
