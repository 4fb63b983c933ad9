"""Every point, in the space's own order."""

from __future__ import annotations

from siloom.explore.search import Search


class Grid(Search):
    """Exhaustive: the only search that knows the true front."""

    name = "grid"
    summary = "every point, in order; the space must not be larger than the budget"
    _next = 0

    def ask(self) -> list[int]:
        """The next points in order."""
        begin = self._next
        self._next = min(self.points, begin + self.batch)
        return list(range(begin, self._next))
