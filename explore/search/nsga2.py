"""NSGA-II (Deb et al., IEEE TEC 2002), by Optuna, in memory: our own store remembers, Optuna only proposes.

A generation is a batch. Points that break constraints take part by how much they break them (the constrained
domination of the paper, section VI); those that cannot be evaluated break them by more than any other.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Sequence
from typing import Any

from siloom.explore.search import Search, Told
from siloom.explore.space import Space
from siloom.sim.errors import MissingPartError

_HOPELESS = 1e9
"""The violation of a point that has no metrics."""
_PATIENCE = 10
"""So many generations that together bring fewer new points than one has: the search has converged and ends."""
_VIOLATION = "violation"


class Nsga2(Search):
    """Elitist non-dominated sorting with uniform crossover, a generation a batch."""

    name = "nsga2"
    summary = "NSGA-II by Optuna: a generation is a batch"
    adaptive = True

    def __init__(self, space: Space, **how: Any) -> None:
        super().__init__(space, **how)
        try:
            import optuna
        except ImportError:
            raise MissingPartError("search nsga2: needs Optuna: pip install 'siloom[explore]'") from None
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # constraints are marked experimental
            sampler = optuna.samplers.NSGAIISampler(
                population_size=self.batch,
                seed=self.seed,
                constraints_func=lambda trial: (trial.user_attrs[_VIOLATION],),
            )
        self._study = optuna.create_study(directions=["minimize"] * len(space.objectives), sampler=sampler)
        self._trials: list[tuple[int, Any]] = []
        self._seen: set[int] = set()
        self._fresh: deque[int] = deque(maxlen=_PATIENCE)

    def ask(self) -> list[int]:
        """A generation, children of the last."""
        converged = len(self._fresh) == _PATIENCE and sum(self._fresh) < self.batch
        if converged or len(self._seen) >= self.points:
            return []
        self._trials = []
        for _ in range(self.batch):
            trial = self._study.ask()
            self._trials.append((self._suggested(trial), trial))
        indices = list(dict.fromkeys(index for index, _ in self._trials))
        self._fresh.append(len(set(indices) - self._seen))
        self._seen.update(indices)
        return indices

    def _suggested(self, trial: Any) -> int:
        space, number = self.space, 0
        if len(space.alternatives) > 1:
            number = trial.suggest_categorical("design", list(range(len(space.alternatives))))
        levels = []
        for axis in space.alternatives[number].axes:
            place = f"{number}.{axis.name}"
            # Values with an order are whole numbers to Optuna, names are choices.
            if isinstance(axis.values[0], str | bool):
                levels.append(trial.suggest_categorical(place, list(range(len(axis)))))
            else:
                levels.append(trial.suggest_int(place, 0, len(axis) - 1))
        return space.index(number, levels)

    def tell(self, told: Sequence[Told]) -> None:
        """End the generation; in the order of the points' own trials, whatever the order told."""
        known = {one.index: one for one in told}
        for index, trial in self._trials:
            one = known.get(index)
            values, violation = (None, _HOPELESS) if one is None else (one.values, min(one.violation, _HOPELESS))
            if values is None:
                values = [0.0] * len(self.space.objectives)
                violation = violation or _HOPELESS
            trial.set_user_attr(_VIOLATION, float(violation))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._study.tell(trial, list(values))
        self._trials = []
