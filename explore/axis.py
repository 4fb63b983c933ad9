"""One dimension of a space: a field's name and the ordered values it may take.

Spaces are grids: every axis has finitely many values, so that a point is a whole number, a search can say how much of
the space it saw, and two searches meet on equal points. Where a space names no values, the Design's own description of
the field gives them by one rule, :func:`default_values`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from siloom.sim.design import Parameter, Value

EVERY = 16
"""Whole numbers between a field's limits up to which all of them are taken; above it powers of two."""
LEVELS = 8
"""Values that a real field gets between its limits."""


@dataclass(frozen=True)
class Axis:
    """A field and its values, in the order in which they are compared and drawn."""

    name: str
    values: Sequence[Value]

    def __len__(self) -> int:
        return len(self.values)


def default_values(about: Parameter, kind: type) -> Sequence[Value]:
    """The values that a field takes where a space names none; empty where its description has no limits.

    All choices; both truths; every whole number where there are at most 16, else the powers of two between the limits
    (with 0 where it is one); eight steps of equal ratio between the limits of a real number, of equal width from 0.
    """
    if about.choices:
        return about.choices
    if kind is bool:
        return (False, True)
    if about.low is None or about.high is None:
        return ()
    if kind is int:
        low, high = math.ceil(about.low), math.floor(about.high)
        if high - low < EVERY:
            return range(low, high + 1)
        return ([0] if low <= 0 else []) + powers_of_two(max(1, low), high)
    if about.low > 0:
        return geometric(about.low, about.high, LEVELS)
    return linear(about.low, about.high, LEVELS)


def powers_of_two(low: float, high: float) -> list[int]:
    """The powers of two from ``low`` to ``high``."""
    first, last = max(0, math.ceil(math.log2(low))), math.floor(math.log2(high))
    return [1 << power for power in range(first, last + 1)]


def linear(low: float, high: float, count: int) -> list[float]:
    """``count`` values at equal distances, both ends among them."""
    if count == 1:
        return [low]
    return [low, *(written(low + (high - low) * step / (count - 1)) for step in range(1, count - 1)), high]


def written(value: float) -> float:
    """The value as one would write it: 0.3, where sums of tenths give 0.30000000000000004."""
    return float(f"{value:.15g}")


def geometric(low: float, high: float, count: int) -> list[float]:
    """``count`` values at equal ratios, both ends among them."""
    if count == 1:
        return [low]
    ratio = math.log(high / low)
    return [low, *(low * math.exp(ratio * step / (count - 1)) for step in range(1, count - 1)), high]
