"""What happened in the products and attentions of converted models, counted while somebody asks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from siloom.sim.arithmetic import Counts

_METERS: list[Meter] = []


class Kept(NamedTuple):
    """Scores of attention: those a mask kept, of those that causality and the model's own masks allow."""

    kept: int = 0
    allowed: int = 0

    @property
    def density(self) -> float:
        """The share kept; 1 of nothing."""
        return self.kept / self.allowed if self.allowed else 1.0

    def plus(self, other: Kept) -> Kept:
        """Both together."""
        return Kept(self.kept + other.kept, self.allowed + other.allowed)


class Done(NamedTuple):
    """Work that a technique of training leaves part of: what was done, of the whole."""

    done: int = 0
    whole: int = 0

    @property
    def share(self) -> float:
        """The share done; 1 of nothing."""
        return self.done / self.whole if self.whole else 1.0

    def plus(self, other: Done) -> Done:
        """Both together."""
        return Done(self.done + other.done, self.whole + other.whole)


class Meter:
    """Counts of products by place and direction, of kept scores by place, and of work done, while it is open."""

    def __init__(self) -> None:
        self.done: dict[str, Done] = defaultdict(Done)
        self.counts: dict[tuple[str, str], Counts] = defaultdict(Counts)
        self.kept: dict[str, Kept] = defaultdict(Kept)

    def add(self, place: str, direction: str, counts: Counts) -> None:
        """Take the counts of one product."""
        self.counts[place, direction] = self.counts[place, direction].plus(counts)

    def keep(self, place: str, kept: Kept) -> None:
        """Take those of one attention."""
        self.kept[place] = self.kept[place].plus(kept)

    def do(self, what: str, done: Done) -> None:
        """Take what was done of ``what``."""
        self.done[what] = self.done[what].plus(done)


@contextmanager
def metered() -> Iterator[Meter]:
    """Count everything that is computed within."""
    meter = Meter()
    _METERS.append(meter)
    try:
        yield meter
    finally:
        _METERS.remove(meter)


def note_product(place: str, direction: str, counts: Counts) -> None:
    """Tell every open meter of a product."""
    for meter in _METERS:
        meter.add(place, direction, counts)


def note_kept(place: str, kept: Kept) -> None:
    """Tell every open meter of an attention."""
    for meter in _METERS:
        meter.keep(place, kept)


def note_done(what: str, done: Done) -> None:
    """Tell every open meter of work that was done, or left."""
    for meter in _METERS:
        meter.do(what, done)
