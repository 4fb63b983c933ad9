"""A weight-stationary array behind a weight FIFO: tiles fetched in order, shifted in, streamed over.

One memory port fetches weight tiles in program order into a FIFO of a few tiles, as soon as a place
is free; a place is given up when its tile has been shifted into the array. The array holds two tiles,
one at work and one shifting in behind it (double buffering). A *group* streams its rows over some
tiles one after the other into one half of the accumulators; then the activation unit drains that half
while the other fills. With times in cycles, tile i (the j-th of its block's group g) goes through::

    fetched[i] = max(fetched[i-1], shifted[i-depth]) + fetch
    shifted[i] = max(fetched[i], start[i-1]) + shift
    start[i]   = max(shifted[i], start[i-1] + rows[i-1], half[g-2] if j = 0, barrier)
    half[g]    = max(half[g-1], start[last] + rows + array_latency) + drain

A block of matrix work that ``waits`` has for barrier the time at which all work before it is through
the activation unit and back in the buffer (``activation_latency`` after its half is drained): a layer
needs the whole of the layer before it. Fetching does not wait: weights are known beforehand.
Other work (vector work, host transfers, writes into the weight memory) takes its cycles at the barrier.

Every cycle of the array has one cause. A gap before a tile is first the wait for the fetch, then the
shift, then whatever else kept the tile from starting: so weights explain all that they can explain.

No backpressure from the buffer that holds activations, and no dependence finer than a whole block:
the first rows of a layer do not start on the first results of the layer before it.

Source: the machine is that of Jouppi et al., ISCA 2017, sections 2 and 3; the recurrence is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from enum import IntEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from siloom.sim.engine.cycles import Ints
from siloom.sim.errors import InputError
from siloom.sim.jit import inline_kernel, kernel

Floats = NDArray[np.float64]

MOST_CYCLES = 2**53
"""Times are doubles: whole cycles stay exact below this."""


class Kind(IntEnum):
    """What a block is: matrix work, or other work that the array waits for."""

    MATRIX = 0
    VECTOR = 1
    HOST = 2
    STORE = 3
    """A write into the weight memory: later tiles are not fetched before it is done."""


class Cause(IntEnum):
    """Where a cycle of the array went."""

    ACTIVE = 0
    WEIGHT = 1
    """The next tile was still being fetched."""
    SHIFT = 2
    """The next tile was being shifted in."""
    RESULTS = 3
    """Earlier results were not yet back in the buffer."""
    HOST = 4
    """Inputs were still coming from the host."""
    OTHER = 5
    """Vector work, a write into the weight memory, or no free half of the accumulators."""


@dataclass(frozen=True)
class WeightFifo:
    """The hardware; times in cycles.

    ``fetch`` is the time that the memory needs for one tile, ``array_latency`` that from the last row
    going in to its last result coming out.
    """

    depth: int
    fetch: float
    shift: float
    array_latency: float
    activation_latency: float

    def __post_init__(self) -> None:
        """Refuse a FIFO without a place and negative times."""
        if self.depth < 1:
            raise InputError(f"weight FIFO: depth must be at least 1, got {self.depth}")
        for name in ("fetch", "shift", "array_latency", "activation_latency"):
            value = getattr(self, name)
            if not 0 <= value < MOST_CYCLES:
                raise InputError(f"weight FIFO: {name} must be 0 to 2^53 cycles, got {value}")


@dataclass(frozen=True, kw_only=True)
class Block:
    """A run of equal groups, or one piece of other work.

    Each of ``groups`` streams for ``rows`` cycles over each of ``tiles`` tiles and is drained in
    ``drain`` cycles. With one tile a group, the tile stays for ``held`` groups before the next is
    fetched. Other work takes ``delay`` cycles.
    """

    kind: Kind = Kind.MATRIX
    groups: int = 0
    held: int = 1
    tiles: int = 0
    rows: int = 0
    drain: int = 0
    waits: bool = False
    delay: int = 0

    def __post_init__(self) -> None:
        """Refuse work without extent, and a tile held where each group has several."""
        for name in ("groups", "held", "tiles", "rows", "drain", "delay"):
            least = int(self.kind == Kind.MATRIX and name in ("groups", "tiles", "rows")) or int(name == "held")
            if getattr(self, name) < least:
                raise InputError(f"weight FIFO: {name} must be at least {least}, got {getattr(self, name)}")
        if self.held > 1 and self.tiles != 1:
            raise InputError(f"weight FIFO: a tile is held only where a group has one, got {self.tiles}")

    @property
    def fetches(self) -> int:
        """Tiles that come through the FIFO."""
        return -(-self.groups // self.held) * self.tiles


@dataclass(frozen=True, eq=False)
class FifoRun:
    """``finish`` [blocks]: when all up to and with a block is done. ``causes`` [blocks, Cause]: cycles.

    The causes of all blocks add up to the last ``finish``, and those up to any block before one that
    waits (or that is not matrix work) to its ``finish``.
    """

    finish: Floats
    causes: Floats


@inline_kernel
def _account(finish: Floats, kinds: Ints, causes: Floats, at: int, now: int, gap: Floats) -> int:
    """Spread a gap of the array over the blocks that it lies in; returns the block it ends in.

    ``gap`` holds its start, the end of the fetch, the end of the shift, and its end; ``at`` is the
    block it starts in and ``now`` the one that comes after it.
    """
    time = gap[0]
    while time < gap[3]:
        while at < now and finish[at] <= time:
            at += 1
        until = min(gap[3], finish[at]) if at < now else gap[3]
        fetch = max(min(until, gap[1]) - time, 0.0)
        shift = max(min(until, gap[2]) - max(time, gap[1]), 0.0)
        causes[at, 1] += fetch
        causes[at, 2] += shift
        rest = 5
        if at < now and kinds[at] == 0:
            rest = 3
        elif kinds[at] == 2:
            rest = 4
        causes[at, rest] += until - time - fetch - shift
        time = until
    return at


@inline_kernel
def _same(state: Floats, kept: Floats, now: float) -> bool:
    """Whether a state is an earlier one, moved in time; doubles round the more the later it is."""
    same = True
    for i in range(len(state)):
        same = same and abs(state[i] - now - kept[i]) < 1e-6 + 1e-14 * now
    return same


@inline_kernel
def _stay(state: Floats, causes: Floats, settled: Floats, now: float, rows: int, past: int, left: int) -> int:
    """Leap over groups in pairs (there are two halves) while a tile stays, once the state repeats.

    The tile has been used by ``past`` groups and stays for ``left`` more. ``settled`` holds when the array
    was free after the pair before (then: after this one and the leap), and what the activation unit and
    the halves were behind. Returns the groups leapt.
    """
    steady = past >= 4
    for i in range(3):
        behind = state[2 + i] - now
        steady = steady and abs(behind - settled[1 + i]) < 1e-6
        settled[1 + i] = behind
    step = now - settled[0]
    pairs = left // 2 if steady else 0
    for i in range(2, 5):
        state[i] += pairs * step
    settled[0] = now + pairs * step
    causes[0] += pairs * 2 * rows
    causes[5] += pairs * (step - 2 * rows)
    return 2 * pairs


@kernel
def _run(
    blocks: Ints,
    kinds: Ints,
    fetch: float,
    shift: float,
    array_latency: float,
    activation_latency: float,
    state: Floats,
    kept: Floats,
    finish: Floats,
    causes: Floats,
) -> None:
    """Fill ``finish`` and ``causes``.

    ``state`` [5 + depth]: end of the fetch, start of the last tile, end of the activation unit's
    work, the two halves' ends (older first), and the ends of the last shifts (oldest first).
    ``kept`` [5 + depth] is room for an earlier state, to find the period of a long block.
    """
    size = len(state)
    gap = np.zeros(4)
    spent = np.zeros(6)
    settled = np.zeros(4)
    array_free = 0.0
    done = 0.0
    at = 0
    for b in range(len(blocks)):
        groups, held, tiles, rows, drain, waits, delay = blocks[b]
        if kinds[b] != 0:
            done += delay
            if kinds[b] == 3:
                state[0] = max(state[0], done)
            state[2] = max(state[2], done)
            finish[b] = done
            continue
        barrier = 0.0
        if waits:
            barrier = done
        else:
            at = b
        checkpoint, next_look, kept_time = 0, 1, 0.0
        g = 0
        while g < groups:
            for k in range(tiles):
                shifting = array_free
                shifted = array_free
                fresh = g % held == 0
                if fresh:
                    state[0] = max(state[0], state[5]) + fetch
                    shifting = max(state[0], state[1])
                    shifted = shifting + shift
                    for i in range(5, size - 1):
                        state[i] = state[i + 1]
                    state[size - 1] = shifted
                start = max(array_free, shifted)
                if k == 0:
                    start = max(start, state[3])
                    if g == 0:
                        start = max(start, barrier)
                gap[0], gap[1], gap[2], gap[3] = array_free, shifting, shifted, start
                at = _account(finish, kinds, causes, at, b, gap)
                if fresh:
                    state[1] = start
                array_free = start + rows
                causes[b, 0] += rows
            state[2] = max(state[2], array_free + array_latency) + drain
            state[3] = state[4]
            state[4] = state[2]
            g += 1
            past = g % held
            if past > 0 and past % 2 == 0:
                g += _stay(state, causes[b], settled, array_free, rows, past, min(held - past, groups - g))
                array_free = settled[0]
            if groups < 64 or next_look < 0 or g % held != 0:
                continue
            # In a long block the state, seen from the array's clock, soon repeats: leap over whole periods.
            if checkpoint > 0 and _same(state, kept, array_free):
                leaps = (groups - g) // (g - checkpoint)
                leap = leaps * (array_free - kept_time)
                for c in range(6):
                    causes[b, c] += leaps * (causes[b, c] - spent[c])
                for i in range(size):
                    state[i] += leap
                array_free += leap
                g += leaps * (g - checkpoint)
                next_look = -1
            elif g >= next_look:
                checkpoint, next_look, kept_time = g, 2 * g, array_free
                for i in range(size):
                    kept[i] = state[i] - array_free
                for c in range(6):
                    spent[c] = causes[b, c]
        done = max(done, state[2] + activation_latency)
        finish[b] = done
    gap[0], gap[1], gap[2], gap[3] = array_free, array_free, array_free, done
    _account(finish, kinds, causes, at, len(blocks), gap)


def run_blocks(fifo: WeightFifo, blocks: Sequence[Block]) -> FifoRun:
    """Run blocks in order, from an empty FIFO.

    Raises:
        InputError: matrix work that does not wait for other work before it, or so much work that
            doubles could not count its cycles.
    """
    for before, block in pairwise(blocks):
        if block.kind == Kind.MATRIX != before.kind and not block.waits:
            raise InputError("weight FIFO: matrix work after other work must wait for it")
    longest = sum(
        b.groups * (b.tiles * (fifo.fetch + fifo.shift + b.rows) + b.drain + fifo.array_latency)
        + b.delay
        + fifo.activation_latency
        for b in blocks
    )
    if longest >= MOST_CYCLES:
        raise InputError(f"weight FIFO: the run may take {longest:.3g} cycles, it must stay below 2^53")
    kinds = np.array([b.kind for b in blocks], np.int64)
    table = np.array([astuple(b)[1:] for b in blocks], np.int64).reshape(len(blocks), 7)
    finish, causes = np.zeros(len(blocks)), np.zeros((len(blocks), len(Cause)))
    places = 5 + fifo.depth
    _run(
        table,
        kinds,
        float(fifo.fetch),
        float(fifo.shift),
        float(fifo.array_latency),
        float(fifo.activation_latency),
        np.zeros(places),
        np.zeros(places),
        finish,
        causes,
    )
    return FifoRun(finish, causes)
