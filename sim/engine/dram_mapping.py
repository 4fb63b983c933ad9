"""Which channel, bank and row an address falls on.

A mapping is named by its fields from the most to the least significant: ``Ro`` row, ``Ra`` rank, ``Bg``
bank group, ``Ba`` bank, ``Co`` column, ``Ch`` channel, as in ``RoBaRaCoBgCh``; columns count whole bursts.
Without ``Bg`` the group's bits stand below the bank's, as part of it. A ``^`` at the end folds the row's low
bits into bank and group (permutation-based interleaving, Zhang et al., MICRO 2000), so that rows far apart
in the same bank do not meet. Addresses beyond the part's size begin again at its start.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from siloom.sim.engine.arrays import prefetch, u
from siloom.sim.jit import inline_kernel, kernel

FIELDS = ("Ch", "Ra", "Bg", "Ba", "Ro", "Co")
_BLOCK = 1024
"""So many requests are decoded, then sorted: few enough for the nearest cache."""
_AHEAD = 16
"""So many places before they are written, two lines of a cache, are they fetched."""


class Mapping(NamedTuple):
    """Place of the lowest bit and number of bits of each field, in a byte address."""

    channel_at: int
    channel_bits: int
    rank_at: int
    rank_bits: int
    group_at: int
    group_bits: int
    bank_at: int
    bank_bits: int
    row_at: int
    row_bits: int
    fold: int


def mapping(name: str, burst_bits: int, widths: dict[str, int]) -> Mapping:
    """The mapping called ``name``; ``burst_bits``: log2 of a burst's bytes, ``widths``: bits of each field.

    Raises:
        ValueError: a name that is not made of the six fields, each once.
    """
    text = name.removesuffix("^")
    tokens = [text[i : i + 2] for i in range(0, len(text), 2)]
    if "Bg" not in tokens and "Ba" in tokens:
        tokens.insert(tokens.index("Ba") + 1, "Bg")
    if sorted(tokens) != sorted(FIELDS):
        raise ValueError(
            f"address mapping must be made of {', '.join(FIELDS)}, each once (Bg may be left out), got {name!r}"
        )
    at, places = burst_bits, {}
    for token in reversed(tokens):
        places[token] = at
        at += widths[token]
    numbers = [n for token in ("Ch", "Ra", "Bg", "Ba", "Ro") for n in (places[token], widths[token])]
    return Mapping._make((*numbers, int(name.endswith("^"))))


@inline_kernel
def _field(address: int, at: int, bits: int) -> int:
    return (address >> at) & ((1 << bits) - 1)


@inline_kernel
def channel_of(address: int, m: Mapping) -> int:
    """The channel that an address falls on."""
    return _field(address, m.channel_at, m.channel_bits)


@inline_kernel
def packed(address: int, write: int, m: Mapping) -> int:
    """A request as the controller reads it: row, bank of the channel (6 bits), write (1 bit)."""
    row = _field(address, m.row_at, m.row_bits)
    inner = (_field(address, m.group_at, m.group_bits) << m.bank_bits) | _field(address, m.bank_at, m.bank_bits)
    if m.fold:
        inner ^= row & ((1 << (m.group_bits + m.bank_bits)) - 1)
    bank = (_field(address, m.rank_at, m.rank_bits) << (m.group_bits + m.bank_bits)) | inner
    return (row << 7) | (bank << 1) | write


def split(
    addresses: NDArray[np.int64], writes: NDArray[np.bool_], arrivals: NDArray[np.int64], m: Mapping
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint32], NDArray[np.int64]]:
    """Sort a stream [n] by channel, in its order within each; n is less than 2**32.

    Returns:
        Packed requests [n] and arrivals [n] by place, the place of each of the stream [n], and where each
        channel's places begin [channels + 1].
    """
    # Long arrays are numpy's, which asks for huge pages: a compiled kernel's own would take three times as long.
    requests, times = np.empty(len(addresses), np.int64), np.empty(len(addresses), np.int64)
    places = np.empty(len(addresses), np.uint32)
    begins = np.zeros((1 << m.channel_bits) + 1, np.int64)
    _split(addresses, writes, arrivals, m, requests, times, places, begins)
    return requests, times, places, begins


@kernel
def _split(
    addresses: NDArray[np.int64],
    writes: NDArray[np.bool_],
    arrivals: NDArray[np.int64],
    m: Mapping,
    requests: NDArray[np.int64],
    times: NDArray[np.int64],
    places: NDArray[np.uint32],
    begins: NDArray[np.int64],
) -> None:
    n = len(addresses)
    for i in range(n):
        begins[u(channel_of(addresses[u(i)], m) + 1)] += 1
    for channel in range(1 << m.channel_bits):
        begins[channel + 1] += begins[channel]
    free = begins.copy()
    block, where = np.empty(_BLOCK, np.int64), np.empty(_BLOCK, np.int64)
    for first in range(0, n, _BLOCK):
        size = min(_BLOCK, n - first)
        # Apart from what follows, a processor decodes eight of them at once.
        for i in range(size):
            block[u(i)] = packed(addresses[u(first + i)], int(writes[u(first + i)]), m)
        for i in range(size):
            where[u(i)] = channel_of(addresses[u(first + i)], m)
        for i in range(size):
            channel = where[u(i)]
            place = free[u(channel)]
            free[u(channel)] = place + 1
            # More channels than a processor sees as streams to be fetched: unasked, each new line is waited for.
            prefetch(requests, place + _AHEAD)
            prefetch(times, place + _AHEAD)
            requests[u(place)] = block[u(i)]
            times[u(place)] = arrivals[u(first + i)]
            places[u(first + i)] = place


def pack(addresses: NDArray[np.int64], writes: NDArray[np.bool_], m: Mapping) -> NDArray[np.int64]:
    """Packed requests [n] of a stream that falls on one channel."""
    out = np.empty(len(addresses), np.int64)
    _pack(addresses, writes, m, out)
    return out


@kernel
def _pack(addresses: NDArray[np.int64], writes: NDArray[np.bool_], m: Mapping, out: NDArray[np.int64]) -> None:
    for i in range(len(addresses)):
        out[u(i)] = packed(addresses[u(i)], int(writes[u(i)]), m)


def picked(
    values: NDArray[np.int64], places: NDArray[np.uint32], out: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """``values[places]`` without numpy's look at the bounds, in ``out`` or a new array."""
    out = np.empty(len(places), np.int64) if out is None else out
    _pick(values, places, out)
    return out


@kernel
def _pick(values: NDArray[np.int64], places: NDArray[np.uint32], out: NDArray[np.int64]) -> None:
    for i in range(len(places)):
        out[u(i)] = values[u(places[u(i)])]
