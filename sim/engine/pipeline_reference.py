"""The pipeline in plain Python, cycle by cycle: registers, queues and who may move, no recurrence."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class _Stage:
    """One stage and the queue in front of it, whose places it does not count itself among."""

    places: int
    queue: deque[int] = field(default_factory=deque)
    item: int | None = None
    left_to_do: int = 0
    counts: dict[str, int] = field(default_factory=lambda: {"busy": 0, "starved": 0, "blocked": 0})

    @property
    def ready(self) -> bool:
        return len(self.queue) + (self.item is not None) <= self.places

    def load(self, times: Sequence[Sequence[int]], column: int) -> bool:
        """Take the next item in if there is one and the stage is empty."""
        if self.item is not None or not self.queue:
            return False
        self.item = self.queue.popleft()
        self.left_to_do = times[self.item][column]
        return True

    def tick(self) -> None:
        """Spend one cycle."""
        if self.item is None:
            self.counts["starved"] += 1
        elif self.left_to_do:
            self.counts["busy"] += 1
            self.left_to_do -= 1
        else:
            self.counts["blocked"] += 1


def run_pipeline_reference(
    service: Sequence[Sequence[int]], slots: Sequence[int], arrivals: Sequence[int]
) -> tuple[list[list[int]], list[dict[str, int]]]:
    """Departures [items][stages] and, per stage, its cycles by cause until the last item is out."""
    stages = [_Stage(places) for places in (len(service), *slots)]
    departures = [[-1] * len(stages) for _ in service]
    offered = deque(range(len(service)))
    now = 0
    while any(row[-1] < 0 for row in departures):
        moved = True
        while moved:  # moves of one cycle enable each other: settle as combinational signals do
            moved = False
            while offered and arrivals[offered[0]] <= now:
                stages[0].queue.append(offered.popleft())
            for s, stage in enumerate(stages):
                moved |= stage.load(service, s)
                behind = stages[s + 1] if s + 1 < len(stages) else None
                if stage.item is not None and stage.left_to_do == 0 and (behind is None or behind.ready):
                    departures[stage.item][s] = now
                    if behind is not None:
                        behind.queue.append(stage.item)
                    stage.item = None
                    moved = True
        if any(row[-1] < 0 for row in departures):
            for stage in stages:
                stage.tick()
            now += 1
    return departures, [stage.counts for stage in stages]
