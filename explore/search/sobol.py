"""Scrambled Sobol points (scipy.stats.qmc): space-filling, and extended without moving those before."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from siloom.explore.search import Search
from siloom.explore.search._cube import dimensions, distinct
from siloom.explore.space import Space

_BLOCK = 256
_PATIENCE = 100_000


class Sobol(Search):
    """Owen-scrambled Sobol sequence over the axes."""

    name = "sobol"
    summary = "scrambled Sobol points: spread evenly"

    def __init__(self, space: Space, **how: Any) -> None:
        super().__init__(space, **how)
        self._left = self.points
        self._indices = distinct(space, self._points(), _PATIENCE)

    def _points(self) -> Iterator[Sequence[float]]:
        from scipy.stats.qmc import Sobol as Sequence_

        source = Sequence_(dimensions(self.space), scramble=True, rng=self.seed)
        while True:
            yield from source.random(_BLOCK).tolist()

    def ask(self) -> list[int]:
        """The next points of the sequence that lie in cells not asked before."""
        asked = list(itertools.islice(self._indices, min(self.batch, self._left)))
        self._left -= len(asked)
        return asked
