"""Rounds and the shared array of :mod:`siloom.sim.engine.token_groups`, one cycle after another."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence


def round_cycles(keys: Sequence[int], key_bytes: int, port: int, ahead: int, side: int, each: int) -> int:
    """Cycles of rounds that need so many ``keys`` each: byte by byte through the port, cycle by cycle in the array."""
    left = [count * key_bytes for count in keys]
    begun = 0
    loading = 0
    at_work: list[int] = []  # cycles left of each round
    now = 0
    while begun < len(keys) or at_work:
        # At the cycle's start: rounds whose keys have come begin.
        while begun < loading and len(at_work) < side:
            at_work.append(each)
            begun += 1
        # During the cycle: the port's bytes, in order, into the rounds that have room.
        for _ in range(port):
            while loading < len(keys) and left[loading] == 0:
                loading += 1
            if loading < len(keys) and loading - begun < ahead:
                left[loading] -= 1
        while loading < len(keys) and left[loading] == 0:
            loading += 1
        at_work = [rest - 1 for rest in at_work if rest > 1]
        now += 1
    return now


class _Worker:
    """A unit that works on one group after another, in the order in which they come.

    For ``after`` cycles behind a group that is done it takes no other.
    """

    def __init__(self, service: Sequence[int], delay: int, after: Sequence[int] | None = None) -> None:
        self.service = service
        self.delay = delay
        self.after = [0] * len(service) if after is None else after
        self.giving = 0
        self.coming: deque[list[int]] = deque()  # cycles until it is there, group
        self.rest = 0
        self.group: int | None = None
        self.done: list[int] = []

    def give(self, group: int) -> None:
        self.coming.append([self.delay, group])

    def settle(self) -> None:
        """Everything that happens between two cycles; groups that take no time leave at once."""
        while True:
            if self.group is not None and self.rest == 0:
                self.done.append(self.group)
                self.giving = self.after[self.group]
                self.group = None
            elif self.group is None and not self.giving and self.coming and self.coming[0][0] == 0:
                self.group = self.coming.popleft()[1]
                self.rest = self.service[self.group]
            else:
                return

    def step(self) -> None:
        for entry in self.coming:
            entry[0] = max(0, entry[0] - 1)
        if self.group is not None:
            self.rest -= 1
        elif self.giving:
            self.giving -= 1


def array_cycles(
    detect: Sequence[int],
    select: Sequence[int],
    schedule: Sequence[int],
    rounds: Sequence[int],
    visits: Sequence[int],
    softmax: Sequence[int],
    latency: int,
) -> tuple[int, int, int]:
    """Cycles of all groups, and those in which the array waits for the scheduler and for the softmax."""
    groups = len(detect)
    jobs: deque[tuple[str, int]] = deque()
    for t in range(groups + 2):
        jobs += [("D", t)] * (t < groups) + [("Q", t - 1)] * (1 <= t <= groups) + [("A", t - 2)] * (t >= 2)
    selector, scheduler, mfu = _Worker(select, latency), _Worker(schedule, 0, rounds), _Worker(softmax, latency)
    passed = 0
    job: tuple[str, int] | None = None
    rest = now = for_schedule = for_softmax = 0
    while True:
        # Between two cycles, until nothing moves any more.
        moved = True
        while moved:
            moved = False
            selector.settle()
            while passed < len(selector.done):
                scheduler.give(selector.done[passed])
                passed += 1
            scheduler.settle()
            mfu.settle()
            if job is not None and rest == 0:
                kind, group = job
                if kind == "D":
                    selector.give(group)
                elif kind == "Q":
                    mfu.give(group)
                job = None
                moved = True
            if job is None and jobs:
                kind, group = jobs[0]
                if kind == "D" or group in (scheduler.done if kind == "Q" else mfu.done):
                    job = jobs.popleft()
                    rest = detect[group] if kind == "D" else visits[group]
                    moved = True
        if job is None and not jobs:
            return now + (latency if groups else 0), for_schedule, for_softmax
        if job is None:
            for_schedule += jobs[0][0] == "Q"
            for_softmax += jobs[0][0] == "A"
        rest -= job is not None
        for worker in (selector, scheduler, mfu):
            worker.step()
        now += 1
