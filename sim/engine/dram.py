"""DRAM by address stream: channels, banks, open rows, refresh, and writes that yield to reads.

Per channel one data bus and ``banks`` banks with one open row each. A read waits for its bank (a
row that is not open costs precharge and activation, and the bank's row cycle), for the reads before
it on the bus, and for writes only when the write buffer is full. Every burst, read or write, takes
its time on the bus, so no stream ever moves faster than the pins.

A refresh holds back what would start in it, requests and transfers alike; rows stay open through it.
Requests of one channel are served in order except that reads overtake buffered writes and that a
request never waits for another bank's activation: what a scheduler with a deep queue approaches.
Times are in cycles of the caller's clock; ``block`` is an address divided by the block size, and
blocks go round the channels.

Source of the organisation: JESD235 (HBM), pseudo-channel mode, 64 bits and bursts of 32 bytes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from siloom.sim.engine.arrays import u
from siloom.sim.jit import inline_kernel, kernel

READ_BURSTS, WRITE_BURSTS, ROW_HITS, ROW_MISSES, BUS_WAIT, BANK_WAIT = range(6)
"""Places in ``DramState.counts``."""


class DramTiming(NamedTuple):
    """The memory's shape and times: 2**bits channels, banks each and blocks in a row; cycles."""

    channel_bits: int
    bank_bits: int
    row_bits: int
    burst: float
    latency: int
    activate: int
    row_cycle: int
    refresh_interval: int
    refresh: int
    write_buffer: float


class DramState(NamedTuple):
    """What the memory is doing: written by every access."""

    bus: NDArray[np.float64]
    read_bus: NDArray[np.float64]
    open_row: NDArray[np.int64]
    bank_free: NDArray[np.int64]
    row_ready: NDArray[np.int64]
    counts: NDArray[np.int64]


def new_dram(timing: DramTiming) -> DramState:
    """An idle memory with every row closed."""
    channels = 1 << timing.channel_bits
    places = channels << timing.bank_bits
    return DramState(
        np.zeros(channels),
        np.zeros(channels),
        np.full(places, -1, np.int64),
        np.zeros(places, np.int64),
        np.zeros(places, np.int64),
        np.zeros(6, np.int64),
    )


@inline_kernel
def channel_of(block: int, timing: DramTiming) -> int:
    """The channel that holds ``block``."""
    return block & ((1 << timing.channel_bits) - 1)


@inline_kernel
def _row_ready(block: int, cycle: int, timing: DramTiming, state: DramState) -> int:
    """Open the block's row if need be; return when its columns can be moved."""
    row = block >> (timing.channel_bits + timing.row_bits)
    place = (channel_of(block, timing) << timing.bank_bits) + (row & ((1 << timing.bank_bits) - 1))
    if state.open_row[u(place)] == row:
        state.counts[ROW_HITS] += 1
        return max(cycle, int(state.row_ready[u(place)]))
    state.counts[ROW_MISSES] += 1
    start = max(cycle, int(state.bank_free[u(place)]))
    state.open_row[u(place)] = row
    state.bank_free[u(place)] = start + timing.row_cycle
    state.row_ready[u(place)] = start + timing.activate
    return int(state.row_ready[u(place)])


@inline_kernel
def _taken_up(cycle: int, timing: DramTiming) -> tuple[int, int]:
    """When a request of ``cycle`` is taken up, and how far into its refresh interval that is.

    All channels refresh together, at every multiple of the interval but the first.
    """
    into = cycle % timing.refresh_interval
    if into < timing.refresh and cycle >= timing.refresh_interval:
        return cycle + timing.refresh - into, timing.refresh
    return cycle, into


@inline_kernel
def _after_refresh(cycle: int, timing: DramTiming) -> int:
    """Return ``cycle``, or the end of the refresh it falls into."""
    return _taken_up(cycle, timing)[0]


@inline_kernel
def _slot(start: float, begin: int, into: int, timing: DramTiming) -> float:
    """Move a transfer that would start in a refresh to the refresh's end.

    ``begin`` is when its request was taken up, in no refresh and ``into`` cycles after the interval
    began: a transfer in the same interval is free without a second division.
    """
    whole = int(start)
    if whole - begin + into < timing.refresh_interval:
        return start
    after = _after_refresh(whole, timing)
    return start if after == whole else float(after)


@inline_kernel
def read(block: int, bursts: int, cycle: int, timing: DramTiming, state: DramState) -> int:
    """Read ``bursts`` of ``block`` asked for at ``cycle``; return the cycle its data are back."""
    channel = channel_of(block, timing)
    begin, into = _taken_up(cycle, timing)
    ready = _row_ready(block, begin, timing, state)
    bus = state.bus[u(channel)]
    start = _slot(max(float(begin), state.read_bus[u(channel)], bus - timing.write_buffer), begin, into, timing)
    state.counts[READ_BURSTS] += bursts
    state.counts[BUS_WAIT] += int(start) - begin
    state.counts[BANK_WAIT] += max(0, ready - max(begin, int(start)))
    moved = bursts * timing.burst
    state.read_bus[u(channel)] = start + moved
    state.bus[u(channel)] = _slot(max(bus, float(begin)), begin, into, timing) + moved
    return int(np.ceil(max(start, float(ready)) + moved)) + timing.latency


@inline_kernel
def write(block: int, bursts: int, cycle: int, timing: DramTiming, state: DramState) -> int:
    """Write ``bursts`` of ``block`` at ``cycle``; return when the write buffer has taken them."""
    channel = channel_of(block, timing)
    begin, into = _taken_up(cycle, timing)
    _row_ready(block, begin, timing, state)
    state.counts[WRITE_BURSTS] += bursts
    state.bus[u(channel)] = _slot(max(state.bus[u(channel)], float(begin)), begin, into, timing) + bursts * timing.burst
    return max(cycle, int(np.ceil(state.bus[u(channel)] - timing.write_buffer)))


@kernel
def replay(
    blocks: NDArray[np.int64],
    cycles: NDArray[np.int64],
    writes: NDArray[np.bool_],
    bursts: int,
    timing: DramTiming,
    state: DramState,
) -> NDArray[np.int64]:
    """Serve a stream of requests [n] in the order given; return when each is done [n]."""
    done = np.empty(len(blocks), np.int64)
    for i in range(len(blocks)):
        if writes[i]:
            done[i] = write(blocks[i], bursts, cycles[i], timing, state)
        else:
            done[i] = read(blocks[i], bursts, cycles[i], timing, state)
    return done


def ideal(timing: DramTiming) -> DramTiming:
    """The null memory: the same latency, but no bus, bank or refresh ever makes anyone wait."""
    return timing._replace(burst=0.0, activate=0, row_cycle=0, refresh=0)


def least_cycles(bursts: int, timing: DramTiming) -> int:
    """Closed form: no stream of ``bursts``, spread over all channels, can take fewer cycles."""
    return int(np.ceil(bursts * timing.burst / (1 << timing.channel_bits)))
