"""A result's timeline made ready to draw: lanes in natural order, bins up to the end of the run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from siloom.reports.text import ordered
from siloom.sim.result import Result


@dataclass(frozen=True)
class Lanes:
    """Activity of one group: ``values[lane][bin]`` as fractions of 1, bins ``bin_seconds`` wide."""

    group: str
    names: tuple[str, ...]
    bin_seconds: float
    values: tuple[tuple[float, ...], ...]

    @property
    def bins(self) -> int:
        """How many bins each lane has."""
        return len(self.values[0]) if self.values else 0


def groups(result: Result, most_values: int) -> list[Lanes]:
    """The groups of ``result.timeline``, tiles first, with at most ``most_values`` values together.

    Neighbouring bins are averaged until that holds; the last bin of an odd number keeps its mean.
    Bins that begin after the run's end are left out.
    """
    timeline = result.timeline
    if timeline is None:
        return []
    names = [g for g in ordered(timeline.lanes, ("tile", "channel")) if timeline.lanes[g]]
    length = max((len(v) for g in names for v in timeline.lanes[g].values()), default=0)
    used = max(1, min(length, math.ceil(result.seconds / timeline.bin_seconds - 1e-9)))
    total = sum(len(timeline.lanes[g]) for g in names)
    step = 1
    while step < used and total * math.ceil(used / step) > most_values:
        step *= 2
    return [
        Lanes(
            group,
            tuple(ordered(timeline.lanes[group])),
            timeline.bin_seconds * step,
            tuple(_averaged(timeline.lanes[group][lane], used, step) for lane in ordered(timeline.lanes[group])),
        )
        for group in names
    ]


def _averaged(values: tuple[float, ...], used: int, step: int) -> tuple[float, ...]:
    padded = list(values[:used]) + [0.0] * (used - len(values))
    pieces = [padded[i : i + step] for i in range(0, used, step)]
    return tuple(math.fsum(piece) / len(piece) for piece in pieces)
