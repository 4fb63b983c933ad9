"""What an exploration found: its front, how fast each search came to it, what stood in the way.

Raises nothing of its own; everything here reads rows.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from siloom.explore.pareto import front, hypervolume
from siloom.explore.row import Row
from siloom.explore.space import Space
from siloom.explore.violation import violation

if TYPE_CHECKING:
    from siloom.explore.outcome import SearchRun

_STEPS = 60
_MARGIN = 1.1
_MOST_OBJECTIVES = 3


@dataclass(frozen=True)
class Step:
    """The hypervolume that a search had after so many evaluations, as a share of all that is known of the front."""

    search: str
    seed: int
    evaluations: int
    hypervolume: float


def front_of(space: Space, rows: Mapping[int, Row]) -> list[int]:
    """The points that no other is better than in every objective, in order of the first objective, then of key."""
    valid = _valid(space, rows)
    if not valid:
        return []
    indices = sorted(valid, key=lambda index: (*valid[index], rows[index].key))
    keep = front(np.array([valid[index] for index in indices], dtype=np.float64))
    return [index for index, kept in zip(indices, keep, strict=True) if kept]


def _valid(space: Space, rows: Mapping[int, Row]) -> dict[int, list[float]]:
    out = {}
    for index, row in rows.items():
        if row.status == "ok" and (values := space.values_of(row.metrics)) is not None:
            out[index] = values
    return out


@dataclass(frozen=True)
class Scale:
    """Where a front's hypervolume is measured: its ideal point is 0, its worst in each objective 1.

    Objectives that are positive all along the front are taken by their logarithm, so that a halving counts as much
    among large designs as among small ones: designs differ by factors, and on a linear scale nearly all of the volume
    is that of the few largest.
    """

    ideal: NDArray[np.float64]
    worst: NDArray[np.float64]
    logarithmic: NDArray[np.bool_]

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Scale:
        """The scale of a front [points, objectives]."""
        logarithmic = np.asarray((values > 0).all(axis=0), dtype=np.bool_)
        seen = _seen(values, logarithmic)
        return cls(seen.min(axis=0), seen.max(axis=0), logarithmic)

    def hypervolume(self, values: NDArray[np.float64]) -> float:
        """What ``values`` dominate, up to 1.1 times the worst of the front, on the front's own scale."""
        width = np.where(self.worst > self.ideal, self.worst - self.ideal, 1.0)
        scaled = (_seen(values, self.logarithmic) - self.ideal) / width
        reference = np.full(scaled.shape[1], _MARGIN)
        inside = scaled[(scaled < reference).all(axis=1)]
        return float(hypervolume(inside, reference)) if len(inside) else 0.0


def _seen(values: NDArray[np.float64], logarithmic: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Values on the scale's axes; what has no logarithm is infinitely good, which no point of a front is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(logarithmic, np.log(values), values)


def history(space: Space, runs: Sequence[SearchRun], rows: Mapping[int, Row]) -> list[Step]:
    """Hypervolume against evaluations of each search, over that of the best front that all of them found together.

    Empty with more than three objectives, or where no point is valid.
    """
    valid = _valid(space, rows)
    if not valid or len(space.objectives) > _MOST_OBJECTIVES:
        return []
    best = np.array([valid[index] for index in front_of(space, rows)])
    scale = Scale.of(best)
    whole = scale.hypervolume(best)
    return [step for run in runs for step in steps_of_run(run, valid, scale, whole)]


def steps_of_run(run: SearchRun, valid: Mapping[int, list[float]], scale: Scale, whole: float) -> list[Step]:
    """One search's steps: ``valid`` has the objectives of valid points, ``whole`` the front's own hypervolume."""
    asked = run.asked
    if not asked:
        return []
    marks = sorted({math.ceil(len(asked) ** (n / _STEPS)) for n in range(_STEPS + 1)} | {len(asked)})
    steps: list[Step] = []
    known = np.empty((0, len(scale.ideal)))
    done = 0
    for mark in marks:
        fresh = [valid[index] for index in asked[done:mark] if index in valid]
        done = mark
        if fresh:
            known = np.vstack([known, np.array(fresh)])
            known = known[front(known)]
        steps.append(Step(run.name, run.seed, mark, scale.hypervolume(known) / whole if len(known) else 0.0))
    return steps


def nearest(space: Space, rows: Mapping[int, Row]) -> tuple[str, Row, float] | None:
    """Where nothing is valid: the constraint most points break, the point nearest to meeting it, and by how much.

    None where no point came so far as to break one.
    """
    broken = [row for row in rows.values() if row.reason.startswith("constraint: ")]
    if not broken:
        return None
    counts: dict[str, int] = {}
    for row in broken:
        counts[row.reason] = counts.get(row.reason, 0) + 1
    worst = max(sorted(counts), key=lambda reason: counts[reason])
    row = min((row for row in broken if row.reason == worst), key=lambda r: (violation(space, r), r.key))
    return worst.removeprefix("constraint: "), row, violation(space, row)


def why_none(space: Space, rows: Mapping[int, Row], limits_hit: int) -> str:
    """In one line why there is no front; empty where there is one, or where no point was looked at."""
    whole = len(rows) + limits_hit
    if not whole or _valid(space, rows):
        return ""
    counts = Counter[str](row.status for row in rows.values())
    if limits_hit:
        counts["limits hit"] = limits_hit
    if counts["ok"]:
        lacking = [m.name for m in space.objectives if not any(m.name in row.metrics for row in rows.values())]
        return f"none of {counts['ok']:,} valid points has {' and '.join(lacking) or 'all objectives'}"
    # What failed says nothing of constraints; what cannot be built is no reason to relax one.
    if set(counts) == {"infeasible"} and (near := nearest(space, rows)) is not None:
        constraint, row, missed = near
        by = f", misses it by {missed:.3%}" if math.isfinite(missed) else f": {row.message}"
        return f"none of {whole:,} points meets {constraint!r}; the nearest, {row.design}{by}"
    said = ", ".join(f"{count:,} {status}" for status, count in sorted(counts.items()))
    reasons = Counter((row.status, row.reason) for row in rows.values())
    most = max(sorted(reasons), key=lambda one: reasons[one], default=None)
    told = min((row for row in rows.values() if (row.status, row.reason) == most), key=lambda r: r.key, default=None)
    return f"none of {whole:,} points is valid: {said}" + (f"; most often: {told.message}" if told else "")
