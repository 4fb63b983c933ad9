"""What a run remembers of its steps; it is kept in checkpoints, so that a run that goes on reports all of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from siloom.sim.arithmetic import Counts
from siloom.workloads.torch.meter import Done, Kept

RECENT = 5
"""Losses whose mean is a run's final loss: the loss of one batch alone is noise."""


@dataclass(frozen=True)
class Point:
    """The state of learning behind ``step`` steps; ``loss`` is the training loss since the point before."""

    step: int
    loss: float
    validation_loss: float
    accuracy: float | None
    rate: float
    density: float


@dataclass
class History:
    """Losses, points of the curve, counts of products by layer and pass, scores that attention kept by layer.

    ``done`` is what techniques of training did of the work that there was, by what it was.
    """

    recent: list[float] = field(default_factory=list)
    since: list[float] = field(default_factory=list)
    curve: list[Point] = field(default_factory=list)
    counts: dict[tuple[str, str], Counts] = field(default_factory=dict)
    kept: dict[str, Kept] = field(default_factory=dict)
    done: dict[str, Done] = field(default_factory=dict)

    def learned(self, loss: float) -> None:
        """One step is done."""
        self.recent = [*self.recent, loss][-RECENT:]
        self.since.append(loss)

    def count(self, place: str, direction: str, counts: Counts) -> None:
        """Add what was counted at a layer in a pass."""
        self.counts[place, direction] = self.counts.get((place, direction), Counts()).plus(counts)

    def keep(self, place: str, kept: Kept) -> None:
        """Add the scores that an attention kept."""
        self.kept[place] = self.kept.get(place, Kept()).plus(kept)

    def do(self, what: str, done: Done) -> None:
        """Add work that was done."""
        self.done[what] = self.done.get(what, Done()).plus(done)

    @property
    def final_loss(self) -> float:
        """Mean training loss of the last few steps, in nats."""
        return sum(self.recent) / len(self.recent)

    def total(self) -> Counts:
        """Counts of all layers and passes."""
        total = Counts()
        for counts in self.counts.values():
            total = total.plus(counts)
        return total

    def rows(self) -> list[dict[str, Any]]:
        """Counts as rows for a table."""
        return [
            {"layer": place, "pass": direction, **counts._asdict()}
            for (place, direction), counts in sorted(self.counts.items())
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "recent": self.recent,
            "since": self.since,
            "curve": [asdict(point) for point in self.curve],
            "counts": self.rows(),
            "kept": {place: list(kept) for place, kept in sorted(self.kept.items())},
            "done": {what: list(done) for what, done in sorted(self.done.items())},
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> History:
        """What :meth:`to_dict` gave."""
        counts = {(row.pop("layer"), row.pop("pass")): Counts(**row) for row in values["counts"]}
        kept = {place: Kept(*numbers) for place, numbers in values["kept"].items()}
        done = {what: Done(*numbers) for what, numbers in values["done"].items()}
        return cls(values["recent"], values["since"], [Point(**p) for p in values["curve"]], counts, kept, done)
