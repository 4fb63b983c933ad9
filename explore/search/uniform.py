"""Random search: each point equally likely, none twice. The baseline that every other search is held to."""

from __future__ import annotations

from typing import Any

import numpy as np

from siloom.explore.search import Search
from siloom.explore.space import Space

_SHUFFLED = 2**20
"""Spaces up to this size are shuffled whole; larger ones are drawn from, and points seen are drawn again."""


class Uniform(Search):
    """Uniform without replacement."""

    name = "random"
    summary = "each point equally likely, none twice: the baseline"

    def __init__(self, space: Space, **how: Any) -> None:
        super().__init__(space, **how)
        self._rng = np.random.default_rng(self.seed)
        self._seen: set[int] = set()
        self._order = self._rng.permutation(space.size) if space.size <= _SHUFFLED else None

    def ask(self) -> list[int]:
        """Points not asked before."""
        count = min(self.batch, self.points - len(self._seen))
        if self._order is not None:
            drawn = [int(index) for index in self._order[len(self._seen) : len(self._seen) + count]]
            self._seen.update(drawn)
            return drawn
        drawn = []
        while len(drawn) < count:
            index = self._draw()
            if index not in self._seen:
                self._seen.add(index)
                drawn.append(index)
        return drawn

    def _draw(self) -> int:
        """A whole number below the size, which may be beyond 64 bits."""
        bits = self.space.size.bit_length()
        while True:
            words = self._rng.integers(0, 2**32, size=-(-bits // 32), dtype=np.uint64)
            index = sum(int(word) << (32 * place) for place, word in enumerate(words)) & ((1 << bits) - 1)
            if index < self.space.size:
                return index
