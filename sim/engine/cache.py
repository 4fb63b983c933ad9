"""Set-associative caches with least-recently-used replacement, by address stream.

A cache is one plain array: for each slot the block it holds and when it was last used, side by side,
so that a set of four ways fills one 64-byte line of the host. The slots of a set lie together, then
the sets of a cache, then several caches of one shape.

What it does not do: write-backs (the machines here write around their caches) and coherence.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from siloom.sim.engine.arrays import u
from siloom.sim.errors import InputError
from siloom.sim.jit import inline_kernel, kernel

Ints = NDArray[np.int64]


def empty_cache(count: int, sets: int, ways: int) -> Ints:
    """As :func:`new_cache`, outside of kernels."""
    lines = np.zeros(2 * count * sets * ways, np.int64)
    lines[::2] = -1
    return lines


@inline_kernel
def new_cache(count: int, sets: int, ways: int) -> Ints:
    """Empty caches, [2 * slots]: block -1 (nothing), last used at 0."""
    lines = np.zeros(2 * count * sets * ways, np.int64)
    lines[::2] = -1
    return lines


@inline_kernel
def set_start(cache: int, sets: int, ways: int, block: int) -> int:
    """First slot of the set that ``block`` belongs to in cache number ``cache``."""
    return (cache * sets + (block & (sets - 1))) * ways


@inline_kernel
def touch(lines: Ints, first: int, ways: int, block: int, now: int) -> int:
    """Look ``block`` up in the set at ``first`` and make it most recently used.

    A miss evicts the least recently used. ``now`` must grow with every call. Returns the slot on a
    hit and ``-1 - slot`` on a miss.
    """
    oldest = first
    least = lines[u(2 * first + 1)]
    for slot in range(first, first + ways):
        if lines[u(2 * slot)] == block:
            lines[u(2 * slot + 1)] = now
            return slot
        used = lines[u(2 * slot + 1)]
        if used < least:
            least = used
            oldest = slot
    lines[u(2 * oldest)] = block
    lines[u(2 * oldest + 1)] = now
    return -1 - oldest


@inline_kernel
def probe(lines: Ints, first: int, ways: int, block: int) -> int:
    """Slot of the set at ``first`` that holds ``block``, or -1; changes nothing."""
    for slot in range(first, first + ways):
        if lines[u(2 * slot)] == block:
            return slot
    return -1


@kernel
def replay(stream: Ints, sets: int, ways: int) -> NDArray[np.bool_]:
    """Hit or miss of every access of ``stream`` [n] (block numbers) to one empty cache."""
    lines = new_cache(1, sets, ways)
    hits = np.empty(len(stream), np.bool_)
    for i in range(len(stream)):
        hits[i] = touch(lines, set_start(0, sets, ways, stream[i]), ways, stream[i], i + 1) >= 0
    return hits


def replay_reference(stream: Iterable[int], sets: int, ways: int) -> list[bool]:
    """:func:`replay` in plain Python, from the definition: one recency-ordered dict per set."""
    held: list[OrderedDict[int, None]] = [OrderedDict() for _ in range(sets)]
    hits = []
    for block in stream:
        lines = held[block % sets]
        hits.append(block in lines)
        lines[block] = None
        lines.move_to_end(block)
        if len(lines) > ways:
            lines.popitem(last=False)
    return hits


def cold_misses(stream: Iterable[int]) -> int:
    """Misses of an infinite cache: the null version, and a lower bound for every other."""
    return len(set(stream))


def sets_of(owner: str, size_bytes: int, ways: int, block_bytes: int) -> int:
    """Number of sets of a cache.

    Raises:
        InputError: the number of sets is not a power of two.
    """
    sets, rest = divmod(size_bytes, ways * block_bytes)
    if rest or sets < 1 or sets & (sets - 1):
        raise InputError(
            f"{owner} must be {ways} ways x {block_bytes} bytes x a power of two of sets, got {size_bytes} bytes"
        )
    return sets
