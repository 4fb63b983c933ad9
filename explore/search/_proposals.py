"""What searches by Optuna share: a space as its trials, in memory. Our own store remembers, Optuna only proposes.

Points that break constraints take part by how much they break them; those that cannot be evaluated break them by more
than any other.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from siloom.explore.search import Told
from siloom.explore.space import Space
from siloom.sim.errors import MissingPartError

_HOPELESS = 1e9
"""The violation of a point that has no metrics."""
_PATIENCE = 10
"""So many batches that together bring fewer new points than one has: the search has converged and ends."""
_VIOLATION = "violation"


def violations(trial: Any) -> tuple[float]:
    """What Optuna asks of a trial's constraints: at most 0 where they hold."""
    return (trial.user_attrs[_VIOLATION],)


class Proposals:
    """Batches of points that one of Optuna's samplers proposes, one after another.

    ``sampler_of`` makes the sampler from the module ``optuna.samplers``. Trials are asked for and told in one order,
    which is the points' alone, so that the sampler draws the same from one seed whoever evaluates.

    Raises:
        MissingPartError: Optuna is not installed.
    """

    def __init__(self, name: str, space: Space, batch: int, points: int, sampler_of: Callable[[Any], Any]) -> None:
        try:
            import optuna
        except ImportError:
            raise MissingPartError(f"search {name}: needs Optuna: pip install 'siloom[explore]'") from None
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # constraints are marked experimental
            sampler = sampler_of(optuna.samplers)
        self._study = optuna.create_study(directions=["minimize"] * len(space.objectives), sampler=sampler)
        self._space = space
        self._batch = batch
        self._points = points
        self._trials: list[tuple[int, Any]] = []
        self._seen: set[int] = set()
        self._fresh: deque[int] = deque(maxlen=_PATIENCE)

    def ask(self) -> list[int]:
        """The next batch, each point once; empty where the search has converged or all points were asked for."""
        converged = len(self._fresh) == _PATIENCE and sum(self._fresh) < self._batch
        if converged or len(self._seen) >= self._points:
            return []
        self._trials = []
        for _ in range(self._batch):
            trial = self._study.ask()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._trials.append((self._suggested(trial), trial))
        indices = list(dict.fromkeys(index for index, _ in self._trials))
        self._fresh.append(len(set(indices) - self._seen))
        self._seen.update(indices)
        return indices

    def _suggested(self, trial: Any) -> int:
        space, number = self._space, 0
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
        """End the batch; in the order of the points' own trials, whatever the order told."""
        known = {one.index: one for one in told}
        for index, trial in self._trials:
            one = known.get(index)
            values, violation = (None, _HOPELESS) if one is None else (one.values, min(one.violation, _HOPELESS))
            if values is None:
                values = [0.0] * len(self._space.objectives)
                violation = violation or _HOPELESS
            trial.set_user_attr(_VIOLATION, float(violation))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._study.tell(trial, list(values))
        self._trials = []
