"""The weight FIFO in plain Python, cycle by cycle: what moves now, and what the array does meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from siloom.sim.engine.weight_fifo import Block, Cause, Kind


@dataclass(frozen=True)
class _Step:
    """One pass over one tile: its block, whether the tile is a new one, first and last of its group."""

    block: int
    fresh: bool
    first: bool
    last: bool


def reference(
    depth: int, fetch: int, shift: int, array_latency: int, activation_latency: int, blocks: Sequence[Block]
) -> tuple[list[int], list[int]]:
    """Finish of each block and the cycles of each cause, by stepping a machine through whole cycles."""
    steps = [
        _Step(b, g % block.held == 0, k == 0, k == block.tiles - 1)
        for b, block in enumerate(blocks)
        if block.kind == Kind.MATRIX
        for g in range(block.groups)
        for k in range(block.tiles)
    ]
    waiting = deque(enumerate(steps))
    unfetched = deque(i for i, step in enumerate(steps) if step.fresh)
    fifo: deque[int] = deque()
    finish = [-1] * len(blocks)
    left = [block.groups for block in blocks]
    fetching: tuple[int, int] | None = None
    shifting: tuple[int, int] | None = None
    shadow: int | None = None
    places, halves = depth, 2
    array: tuple[_Step, int] | None = None
    leaving: deque[tuple[int, int]] = deque()
    queued: deque[int] = deque()
    draining: tuple[int, int] | None = None
    settling: deque[tuple[int, int]] = deque()
    other: tuple[int, int] | None = None
    spent = [0] * len(Cause)
    now = 0
    while True:
        moved = True
        while moved:
            before = (fetching, shifting, shadow, array, draining, other, len(leaving), len(queued), len(settling))
            if fetching and fetching[1] <= now:
                fifo.append(fetching[0])
                fetching = None
            stored = all(
                finish[b] >= 0
                for b, block in enumerate(blocks)
                if block.kind == Kind.STORE and unfetched and b < steps[unfetched[0]].block
            )
            if fetching is None and unfetched and places and stored:
                places -= 1
                fetching = (unfetched.popleft(), now + fetch)
            if shifting and shifting[1] <= now:
                shadow, shifting = shifting[0], None
                places += 1
            if shifting is None and shadow is None and fifo:
                shifting = (fifo.popleft(), now + shift)
            if array and array[1] <= now:
                if array[0].last:
                    leaving.append((array[0].block, now + array_latency))
                array = None
            while leaving and leaving[0][1] <= now:
                queued.append(leaving.popleft()[0])
            if draining and draining[1] <= now:
                halves += 1
                settling.append((draining[0], now + activation_latency))
                draining = None
            if draining is None and queued:
                block = queued.popleft()
                draining = (block, now + blocks[block].drain)
            while settling and settling[0][1] <= now:
                block = settling.popleft()[0]
                left[block] -= 1
                if left[block] == 0:
                    finish[block] = now
            if other and other[1] <= now:
                finish[other[0]] = now
                other = None
            next_block = next((b for b, end in enumerate(finish) if end < 0), len(blocks))
            if other is None and next_block < len(blocks) and blocks[next_block].kind != Kind.MATRIX:
                other = (next_block, now + blocks[next_block].delay)
            if array is None and waiting:
                i, step = waiting[0]
                loaded = shadow == i or not step.fresh
                barred = step.first and blocks[step.block].waits and not _is_open(finish, step, steps, i)
                if loaded and not barred and (halves or not step.first):
                    waiting.popleft()
                    halves -= step.first
                    if step.fresh:
                        shadow = None
                    array = (step, now + blocks[step.block].rows)
            moved = before != (
                fetching, shifting, shadow, array, draining, other, len(leaving), len(queued), len(settling),
            )  # fmt: skip
        if all(end >= 0 for end in finish):
            return finish, spent
        spent[_cause(array, waiting, shifting, shadow, steps, other, blocks)] += 1
        now += 1


def _is_open(finish: list[int], step: _Step, steps: list[_Step], i: int) -> bool:
    """Whether all before a step's block is done; only its first step asks."""
    started = i > 0 and steps[i - 1].block == step.block
    return started or all(end >= 0 for end in finish[: step.block])


def _cause(
    array: tuple[_Step, int] | None,
    waiting: deque[tuple[int, _Step]],
    shifting: tuple[int, int] | None,
    shadow: int | None,
    steps: list[_Step],
    other: tuple[int, int] | None,
    blocks: Sequence[Block],
) -> Cause:
    """What the array does in this cycle, the weights' causes first."""
    if array:
        return Cause.ACTIVE
    if waiting and waiting[0][1].fresh and shadow != waiting[0][0]:
        return Cause.SHIFT if shifting and shifting[0] == waiting[0][0] else Cause.WEIGHT
    if other:
        return Cause.HOST if blocks[other[0]].kind == Kind.HOST else Cause.OTHER
    if waiting:
        i, step = waiting[0]
        if not blocks[step.block].waits or (i > 0 and steps[i - 1].block == step.block):
            return Cause.OTHER
    return Cause.RESULTS
