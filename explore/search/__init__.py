"""Searches: in which order the points of a space are evaluated. One file here adds one search.

A search is asked for points and, if it is adaptive, told what became of them. It sees a space as levels on axes and a
point as a number; it evaluates nothing, keeps nothing, and draws from its own seed alone, so that what it asks depends
on what it was told and on nothing else: not on workers, not on time.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from siloom.explore.space import Space


@dataclass(frozen=True)
class Told:
    """What became of a point: its objectives, less being better, and by how much it breaks constraints (0: not).

    ``values`` is None where the point could not be evaluated.
    """

    index: int
    values: Sequence[float] | None
    violation: float


class Search(ABC):
    """A search of one space from one seed.

    The driver calls ``ask`` until it gives nothing or the budget is spent. Of an ``adaptive`` search it evaluates all
    that was asked and calls ``tell`` with them, in the order of their keys, before it asks again; a search may then ask
    for a point again, which costs nothing. Any other search asks for each point once and is told nothing.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    adaptive: ClassVar[bool] = False

    def __init__(self, space: Space, *, seed: int, batch: int, points: int) -> None:
        """Search ``space`` in batches of ``batch``; ``points`` is how many will be evaluated at most."""
        self.space = space
        self.seed = seed
        self.batch = batch
        self.points = min(points, space.size)

    @abstractmethod
    def ask(self) -> list[int]:
        """The next points, at most ``batch``; empty where there are no more."""

    def tell(self, told: Sequence[Told]) -> None:  # noqa: B027 - only adaptive searches learn
        """Learn from the points that were asked last."""


@lru_cache(maxsize=1)
def searches() -> Mapping[str, type[Search]]:
    """Every search of this folder, by name."""
    found = {}
    for module in pkgutil.iter_modules(__path__):
        for _, cls in inspect.getmembers(importlib.import_module(f"{__name__}.{module.name}"), inspect.isclass):
            if issubclass(cls, Search) and not inspect.isabstract(cls):
                found[cls.name] = cls
    return dict(sorted(found.items()))
