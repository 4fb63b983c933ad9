"""Banks, queues and workers of :mod:`siloom.sim.engine.candidate_queues`, one cycle after another."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence


class Bank:
    """One bank: where it is in looking through its keys, its queue, and its worker's queries."""

    def __init__(self, steps_of: Sequence[Sequence[int]], slots: int) -> None:
        """``steps_of``: hits of each step of each query."""
        self.steps_of = steps_of
        self.slots = slots
        self.query = 0
        self.step = 0
        self.started = [False] * (len(steps_of) + 1)
        self.queue: deque[int] = deque()
        self.fresh: list[int] = []
        self.left = [sum(steps) for steps in steps_of]
        self.looked = [0] * len(steps_of)
        self.ended: list[int | None] = [None] * len(steps_of)

    def look(self, now: int, hashed: Sequence[int | None]) -> None:
        """One cycle of looking at keys."""
        if self.query == len(self.steps_of):
            return
        ready = hashed[self.query]
        if self.step == 0 and (ready is None or now < ready):
            return
        self.started[self.query] = True
        hits = self.steps_of[self.query][self.step]
        if len(self.queue) + hits > self.slots:
            return
        self.fresh = [self.query] * hits
        self.step += 1
        if self.step == len(self.steps_of[self.query]):
            self.looked[self.query] = now + 1
            self.query, self.step = self.query + 1, 0

    def work(self, now: int, ends: Sequence[int | None]) -> None:
        """One cycle of the worker; before looking, so that the place it gives up can be filled at once."""
        if not self.queue:
            return
        query = self.queue[0]
        if query >= 2:
            gone = ends[query - 2]
            if gone is None or now < gone:
                return
        self.queue.popleft()
        self.left[query] -= 1
        if self.left[query] == 0:
            self.ended[query] = now + 1

    def settle(self) -> None:
        """What was found in this cycle is in the queue from the next."""
        self.queue.extend(self.fresh)
        self.fresh = []

    def done(self, query: int, now: int) -> int | None:
        """When the bank ended with a query, if that is known by cycle ``now``."""
        if self.query <= query or self.left[query]:
            return None
        return max(self.looked[query], self.ended[query] or 0)


def scan_and_work_reference(
    candidates: Sequence[Sequence[bool]], banks: int, width: int, slots: int, hash_cycles: int, finish: int
) -> list[int]:
    """When each query has left, as ``scan_and_work`` says."""
    queries, keys = len(candidates), len(candidates[0])
    steps = -(-keys // (banks * width))

    def hits(query: int, bank: int, step: int) -> int:
        low = step * banks * width + bank
        return sum(bool(candidates[query][key]) for key in range(low, low + banks * width, banks) if key < keys)

    parts = [Bank([[hits(q, b, s) for s in range(steps)] for q in range(queries)], slots) for b in range(banks)]
    hashed: list[int | None] = [0, *([None] * queries)]
    ends: list[int | None] = [None] * queries
    now = 0
    while any(end is None for end in ends):
        for part in parts:
            part.work(now, ends)
        for part in parts:
            part.look(now, hashed)
        for query in range(queries):
            ready = hashed[query]
            if hashed[query + 1] is None and ready is not None and all(part.started[query] for part in parts):
                hashed[query + 1] = max(now, ready) + hash_cycles
        for query in range(queries):
            if ends[query] is None:
                done = [part.done(query, now) for part in parts]
                before = 0 if query == 0 else ends[query - 1]
                if before is None or any(at is None for at in done):
                    break
                ends[query] = max(before, *(at for at in done if at is not None)) + finish
        for part in parts:
            part.settle()
        now += 1
    return [end for end in ends if end is not None]
