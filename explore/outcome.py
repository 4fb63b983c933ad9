"""What an exploration is asked for part by part, how far it is, and what it came to: values that everyone reads."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from siloom.explore.row import Row
from siloom.explore.space import Space


@dataclass(frozen=True)
class Shard:
    """The ``number``-th (from 1) of ``count`` parts of a space, by the points' keys."""

    number: int
    count: int

    def holds(self, key: bytes) -> bool:
        """Whether a point is this part's to evaluate."""
        return int.from_bytes(key[:8], "big") % self.count == self.number - 1


@dataclass(frozen=True)
class SearchRun:
    """One search from one seed, and the points that it asked for, each once, in its order."""

    name: str
    seed: int
    asked: tuple[int, ...]


@dataclass
class Progress:
    """How far an exploration is, for whoever watches."""

    total: int
    done: int = 0
    found: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    limits_hit: int = 0
    best: Row | None = None
    begin: float = field(default_factory=time.monotonic)

    @property
    def seconds_left(self) -> float | None:
        """About how long the rest takes, by the points that had to be evaluated; None before any was."""
        evaluated = self.done - self.found
        if not evaluated:
            return None
        return (time.monotonic() - self.begin) / evaluated * max(0, self.total - self.done)


@dataclass(frozen=True)
class Explored:
    """What an exploration came to. ``rows`` is point -> row, for every point that was asked and has one."""

    space: Space
    runs: tuple[SearchRun, ...]
    rows: dict[int, Row]
    limits_hit: int
    correlation: Mapping[str, Any] | None
    """How the closed-form bound orders the points that were run; None where there is no such form."""
    finalists: tuple[Row, ...]
    """The finalists' rows of the fidelity ``synthesis``."""
    ended: str
    """Why it ended: ``complete``, ``interrupted`` or ``seconds``, the budget's."""


Watcher = Callable[[Progress], None]
