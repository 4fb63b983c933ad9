"""A funnel's first stage: very many points by their closed form, of which the best go on to be run.

The best are the first fronts of what the bound knows (time, and area where there is a form), so that a point is not
lost because it is good at one thing only.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from siloom.explore.bound import alternative_columns, column_bounds
from siloom.explore.document import Screen
from siloom.explore.evaluate import Evaluator
from siloom.explore.expression import Condition
from siloom.explore.pareto import front
from siloom.explore.search import Search, searches
from siloom.explore.space import Space
from siloom.sim.errors import InfeasibleError, UsageError


class Screened(Search):
    """The points of another search that are best by their bound."""

    name = "screened"
    summary = "drawn at random, the best by their closed form"

    def __init__(self, space: Space, evaluator: Evaluator, *, seed: int, batch: int) -> None:
        screen = space.screen
        assert isinstance(screen, Screen)
        super().__init__(space, seed=seed, batch=batch, points=min(screen.keep, space.budget.points))
        drawn = searches()["random"](space, seed=seed, batch=screen.points, points=screen.points).ask()
        self._kept = _best(space, evaluator, drawn, self.points)
        self.screened = len(drawn)

    def ask(self) -> list[int]:
        """The next of the best, in the order of the space."""
        asked, self._kept = self._kept[: self.batch], self._kept[self.batch :]
        return asked


def _best(space: Space, evaluator: Evaluator, drawn: list[int], keep: int) -> list[int]:
    """Front after front until ``keep`` points are together."""
    judged = [metric for metric in space.objectives if metric.name in ("seconds", "area_mm2")]
    if not judged:
        raise UsageError(f"{space.name}: [screen] judges by time and area, and neither is an objective")
    places = np.array([space.place(index) for index in drawn], dtype=np.int64 if space.size < 2**63 else object)
    values = np.empty((len(drawn), len(judged)))
    for number, alternative in enumerate(space.alternatives):
        own = np.flatnonzero(places[:, 0] == number)
        if not len(own):
            continue
        columns = alternative_columns(alternative, places[own, 1])
        made = evaluator.machine(number)
        found = column_bounds(made, evaluator.workloads, columns, len(own))
        if found is None:
            raise InfeasibleError(
                f"{made.label}: has no closed form of these workloads, so there is nothing to screen by"
            )
        broken = _broken(space.constraints, {**made.design.as_dict()}, {**columns, **found}, len(own))
        for at, metric in enumerate(judged):
            values[own, at] = np.where(broken, np.nan, found.get(metric.name, 0.0))
    left = np.flatnonzero(~np.isnan(values).any(axis=1))
    kept: list[int] = []
    while len(left) and len(kept) < keep:
        best = front(values[left])
        # Of a front that is too large, those that are best by the first objective.
        order = left[best][np.lexsort((left[best], values[left[best], 0]))]
        kept += [drawn[position] for position in order[: keep - len(kept)]]
        left = left[~best]
    return sorted(kept)


def _broken(conditions: tuple[Condition, ...], base: dict[str, Any], columns: dict[str, Any], count: int) -> Any:
    """Which points break a constraint that fields and bounds can tell; others are told when they are run."""
    broken = np.zeros(count, dtype=bool)
    told = [one for one in conditions if one.names <= {*base, *columns}]
    if told:
        lists = {name: column.tolist() for name, column in columns.items()}
        for position in range(count):
            known = {**base, **{name: column[position] for name, column in lists.items()}}
            broken[position] = any(_told_broken(one, known) for one in told)
    return broken


def _told_broken(one: Condition, known: dict[str, Any]) -> bool:
    """Whether a point breaks a constraint however much its time is above the bound.

    Of time a constraint is taken to say that it be small or that it be large, so that it is broken all the way where it
    is broken at both ends.
    """
    if one.violation(known) == 0:
        return False
    return "seconds" not in one.names or one.violation({**known, "seconds": math.inf}) > 0
