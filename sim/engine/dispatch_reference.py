"""Dispatch in plain Python, cycle by cycle: who is idle, who is ready, who gets the port."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class _Server:
    """A server: the cycle since which it has been free, and the items waiting for it alone."""

    free_since: int = 0
    queue: list[int] = field(default_factory=list)


def greedy_reference(
    service: Sequence[int], servers: int, release: Sequence[int], starts: int, cycles: int
) -> tuple[list[int], list[int]]:
    """Start and server of each item; at most ``starts`` of them start within any ``cycles``."""
    pool = [_Server() for _ in range(servers)]
    begun: list[int] = []
    chosen: list[int] = []
    now = 0
    while len(begun) < len(service):
        head = len(begun)
        idle = [s for s in range(servers) if pool[s].free_since <= now]
        if idle and release[head] <= now and _port_is_free(begun, now, starts, cycles):
            longest_idle = min(idle, key=lambda s: (pool[s].free_since, s))
            begun.append(now)
            chosen.append(longest_idle)
            pool[longest_idle].free_since = now + service[head]
        else:
            now += 1
    return begun, chosen


def fixed_reference(
    service: Sequence[int], assigned: Sequence[int], release: Sequence[int], starts: int, cycles: int
) -> list[int]:
    """Start of each item when item i can only go to server ``assigned[i]``, in order."""
    pool = [_Server() for _ in range(max(assigned, default=0) + 1)]
    for item, server in enumerate(assigned):
        pool[server].queue.append(item)
    begun = [-1] * len(service)
    order: list[int] = []
    now = 0
    while len(order) < len(service):
        ready = {s: max(one.free_since, release[one.queue[0]]) for s, one in enumerate(pool) if one.queue}
        waiting = [s for s in ready if ready[s] <= now]
        if waiting and _port_is_free(order, now, starts, cycles):
            first = min(waiting, key=lambda s: (ready[s], s))
            item = pool[first].queue.pop(0)
            begun[item] = now
            order.append(now)
            pool[first].free_since = now + service[item]
        else:
            now += 1
    return begun


def _port_is_free(begun: Sequence[int], now: int, starts: int, cycles: int) -> bool:
    return sum(1 for earlier in begun if now - earlier < cycles) < starts
