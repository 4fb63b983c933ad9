"""A space: designs of one machine or several, what they run, what is wanted of them.

A space is a grid, so its points are the whole numbers below :attr:`Space.size`: first those of the first machine, in
the order of its fields with the last one turning fastest, then those of the next. All of a space is values; what is
done with it lies in :mod:`siloom.explore.driver`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from siloom.explore.axis import Axis
from siloom.explore.document import Budget, Finalists, Limits, Screen, SearchChoice, Training
from siloom.explore.expression import Condition
from siloom.explore.metrics import Metric
from siloom.sim.design import Value
from siloom.sim.machine import Machine

_LISTED = 1000
"""Values of an axis that a description lists."""


@dataclass(frozen=True)
class Alternative:
    """One machine of a space. ``text`` is what rows are named by; ``source`` what the machine is made from."""

    text: str
    source: str | Machine
    axes: tuple[Axis, ...]

    @property
    def size(self) -> int:
        """Points."""
        return math.prod(len(axis) for axis in self.axes)

    def settings(self, index: int) -> dict[str, Value]:
        """The fields of a point."""
        chosen: dict[str, Value] = {}
        for axis in reversed(self.axes):
            index, level = divmod(index, len(axis))
            chosen[axis.name] = axis.values[level]
        return {axis.name: chosen[axis.name] for axis in self.axes}

    def levels(self, index: int) -> tuple[int, ...]:
        """The positions of a point's values on their axes."""
        out = []
        for axis in reversed(self.axes):
            index, level = divmod(index, len(axis))
            out.append(level)
        return tuple(reversed(out))

    def index(self, levels: Sequence[int]) -> int:
        """The point at these positions."""
        index = 0
        for axis, level in zip(self.axes, levels, strict=True):
            index = index * len(axis) + level
        return index


def _values(axis: Axis) -> Any:
    return (
        list(axis.values)
        if len(axis) <= _LISTED
        else {"first": axis.values[0], "last": axis.values[-1], "count": len(axis)}
    )


@dataclass(frozen=True)
class Weighted:
    """A workload with its weight. ``text`` is what rows are named by; ``source`` what is loaded."""

    text: str
    source: str
    weight: float


@dataclass(frozen=True)
class Fits:
    """The constraint that a part of a machine's name holds the design: ``fits fpga:zcu104``."""

    text: str
    part: str


@dataclass(frozen=True, kw_only=True)
class Space:
    """All that an exploration is asked for."""

    name: str
    alternatives: tuple[Alternative, ...]
    workloads: tuple[Weighted, ...]
    objectives: tuple[Metric, ...]
    constraints: tuple[Condition, ...] = ()
    fits: tuple[Fits, ...] = ()
    fidelity: str = "cycles"
    search: SearchChoice
    budget: Budget
    limits: Limits
    screen: Screen | None = None
    finalists: Finalists | None = None
    training: Training | None = None

    @cached_property
    def size(self) -> int:
        """Points of the space."""
        return sum(alternative.size for alternative in self.alternatives)

    def describe(self) -> dict[str, Any]:
        """The space as plain values, long axes by their ends; what a store keeps of it."""
        return {
            "name": self.name,
            "designs": [
                {"machine": a.text, "fields": {axis.name: _values(axis) for axis in a.axes}} for a in self.alternatives
            ],
            "workloads": [{"load": w.text, "weight": w.weight} for w in self.workloads],
            "objectives": [metric.name for metric in self.objectives],
            "constraints": [*(one.text for one in self.constraints), *(one.text for one in self.fits)],
            "fidelity": self.fidelity,
            "search": self.search.model_dump(),
            "points": self.budget.points,
        }

    def place(self, index: int) -> tuple[int, int]:
        """Which alternative a point belongs to, and its number there."""
        for number, alternative in enumerate(self.alternatives):
            if index < alternative.size:
                return number, index
            index -= alternative.size
        raise IndexError(f"a point of the space is below {self.size}")

    def index(self, number: int, levels: Sequence[int]) -> int:
        """The point of an alternative at these positions."""
        before = sum(alternative.size for alternative in self.alternatives[:number])
        return before + self.alternatives[number].index(levels)

    def settings(self, index: int) -> Mapping[str, Value]:
        """The fields of a point."""
        number, inner = self.place(index)
        return self.alternatives[number].settings(inner)

    @cached_property
    def workload_text(self) -> str:
        """The workloads with their weights, as rows name them."""
        if self.training is not None:
            return f"train:{self.training.recipe}"
        return " + ".join(w.text if w.weight == 1 else f"{w.weight:g} {w.text}" for w in self.workloads)

    def values_of(self, metrics: Mapping[str, float]) -> list[float] | None:
        """A row's objectives, less being better; None where it lacks one."""
        values = []
        for metric in self.objectives:
            value = metrics.get(metric.name)
            if value is None or not math.isfinite(value):
                return None
            values.append(-value if metric.more_is_better else value)
        return values
