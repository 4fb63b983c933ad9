"""Latin hypercube samples (scipy.stats.qmc): every axis evenly covered by exactly the points of the budget."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from siloom.explore.search import Search
from siloom.explore.search._cube import dimensions, distinct
from siloom.explore.space import Space

_PATIENCE = 100_000


class LatinHypercube(Search):
    """As many strata on each axis as there are points; further samples follow where cells coincide."""

    name = "latin-hypercube"
    summary = "a Latin hypercube of as many points as the budget has"

    def __init__(self, space: Space, **how: Any) -> None:
        super().__init__(space, **how)
        self._left = self.points
        self._indices = distinct(space, self._points(), _PATIENCE)

    def _points(self) -> Iterator[Sequence[float]]:
        from scipy.stats.qmc import LatinHypercube as Sampler

        source = Sampler(dimensions(self.space), rng=self.seed)
        while True:
            yield from source.random(max(1, self.points)).tolist()

    def ask(self) -> list[int]:
        """The next points of the sample that lie in cells not asked before."""
        asked = list(itertools.islice(self._indices, min(self.batch, self._left)))
        self._left -= len(asked)
        return asked
