"""Banks, queues and workers of :mod:`siloom.sim.engine.candidate_queues`, one cycle after another.

Every stage of every pipeline is a place that holds one thing or none. In each cycle what is nearest to the end moves
first, so that a place given up is filled in the same cycle; what one part tells another is seen a cycle later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass
class Entry:
    """A candidate in a bank's queue or pipeline."""

    query: int
    last: bool


@dataclass
class Bank:
    """One bank: its stages of looking, its queue, its worker's pipeline, and the sums that wait to be merged."""

    slots: int
    looking: list[tuple[int, int, bool] | None]  # query, hits, whether they are those of the query's last step
    working: list[Entry | None]
    queue: deque[Entry] = field(default_factory=deque)
    waiting: int | None = None
    steps_begun: int = 0
    looks_for: int = 0
    works_for: int = 0
    found: dict[int, int] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)

    def sum_up(self) -> None:
        """Let the pipeline's last place go, where it may; then all others move up."""
        done = self.working[-1]
        if done is not None and (not done.last or self.waiting is None):
            if done.last:
                self.waiting = done.query
            self.working[-1] = None
        _move_up(self.working)

    def take(self, seen: Seen) -> None:
        """Put a candidate into the pipeline, or pass a query by."""
        query = self.works_for
        if query in seen.ended[self] and not self.found.get(query):
            rescue = seen.rescues.get(query)
            if rescue is self:
                if self.working[0] is None:
                    self.working[0] = Entry(query, last=True)
                    self.works_for += 1
            elif query in seen.found or query in seen.decided:
                self.works_for += 1
            return
        if not self.queue or self.working[0] is not None:
            return
        step = self.looking[-1]
        more = len(self.queue) > 1 or (step is not None and step[1] > 0)
        if self.queue[0].last or more:
            entry = self.queue.popleft()
            self.working[0] = entry
            self.works_for += entry.last

    def put(self) -> list[Entry] | None:
        """What the last stage of looking has found, if there is room for it; None where no step ends."""
        step = self.looking[-1]
        if step is None or len(self.queue) + step[1] > self.slots:
            return None
        query, hits, last = step
        self.looking[-1] = None
        if last:
            self.ended.add(query)
        self.found[query] = self.found.get(query, 0) + hits
        fresh = [Entry(query, last=False) for _ in range(hits)]
        if last and self.found[query]:
            (fresh or self.queue)[-1].last = True
        return fresh

    def __hash__(self) -> int:
        """Each bank is itself."""
        return id(self)


@dataclass
class Seen:
    """What all parts can see in a cycle: what was so when the one before ended."""

    ended: dict[Bank, set[int]]
    found: set[int]
    decided: set[int]
    rescues: dict[int, Bank]


def scan_and_work_reference(
    candidates: Sequence[Sequence[bool]],
    rescued: Sequence[bool],
    sizes: tuple[int, int, int, int],
    cycles: tuple[int, int],
    depths: tuple[int, int],
) -> list[int]:
    """When each query has been merged, as ``scan_and_work`` says."""
    banks, width, slots, held = sizes
    hash_cycles, finish = cycles
    queries, keys = len(candidates), len(candidates[0])
    steps = -(-keys // (banks * width))
    parts = [Bank(slots, [None] * depths[0], [None] * depths[1]) for _ in range(banks)]

    def hits(query: int, bank: int, step: int) -> int:
        low = step * banks * width + bank
        keys_of_step = [key for key in range(low, low + banks * width, banks) if key < keys]
        return 0 if rescued[query] else sum(bool(candidates[query][key]) for key in keys_of_step)

    decided: set[int] = set()
    rescues: dict[int, Bank] = {}
    ends: list[int] = []
    hashing = 1  # the query whose hash is made
    hashing_since: int | None = None
    hash_there = 0  # the last query whose hash is there
    merging = 0  # cycles of merging that the query has had
    now = 0
    while len(ends) < queries:
        seen = Seen(
            {part: set(part.ended) for part in parts},
            {query for part in parts for query, found in part.found.items() if found},
            set(decided),
            dict(rescues),
        )
        sums = [part.waiting for part in parts]

        # Merging: in the cycle of its end the sums' places are free.
        query = len(ends)
        with_sums = [part for part in parts if part.found.get(query) or seen.rescues.get(query) is part]
        there = all(sums[parts.index(part)] == query for part in with_sums)
        merged = False
        if query in seen.decided and there:
            merging += 1
            if merging == finish:
                merged, merging = True, 0
                for part in with_sums:
                    part.waiting = None
        for part in parts:
            part.sum_up()
        for part in parts:
            part.take(seen)
        fresh = [part.put() for part in parts]
        for part in parts:
            _move_up(part.looking)
        for bank, part in enumerate(parts):
            query = part.looks_for
            if query < queries and query <= hash_there and part.looking[0] is None:
                step = part.steps_begun
                part.looking[0] = query, hits(query, bank, step), step == steps - 1
                part.steps_begun = (step + 1) % steps
                part.looks_for += step == steps - 1
        if hashing_since is None and hashing < queries:
            came = all(p.looks_for >= hashing or (p.looks_for == hashing - 1 and p.steps_begun) for p in parts)
            if came and hashing - len(ends) < held:
                hashing_since = now
        if hashing_since is not None and now + 1 == hashing_since + hash_cycles:
            hash_there, hashing, hashing_since = hashing, hashing + 1, None

        query = len(decided)
        if query < queries and all(query in seen.ended[part] for part in parts):
            decided.add(query)
            if rescued[query]:
                rescues[query] = parts[[bool(c) for c in candidates[query]].index(True) % banks]
        for part, entries in zip(parts, fresh, strict=True):
            part.queue.extend(entries or [])
        if merged:
            ends.append(now + 1)
        now += 1
    return ends


def _move_up(places: list[T | None]) -> None:
    """Every thing moves on where the place before it is free."""
    for place in range(len(places) - 1, 0, -1):
        if places[place] is None:
            places[place], places[place - 1] = places[place - 1], None
