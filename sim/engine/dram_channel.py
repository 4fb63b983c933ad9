"""A DRAM channel's state in one array, and the steps that the controller's loop makes on it.

The array holds scalars (of the two queues, that which is served and, ``OTHER`` places on, the other), what is
counted, then rows of banks, groups, ranks and places in the queues. A queue has 128 places, which are given in order,
so that an older request has a lower place, and masked by two words: the oldest of a mask is the lowest bit of the
first word that has one. No more than 64 requests wait, so the places run out once in 65 requests at most; then all
move to the first ones (``pack_queue``).
Masks of banks are words too. Refusals, limits and meaning: :mod:`siloom.sim.engine.dram_controller`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from siloom.sim.engine.arrays import u
from siloom.sim.engine.bits import lowest_bit, popcount, rare
from siloom.sim.engine.dram_lanes import (
    NO_GAP,
    NO_KEY,
    PLACE_BITS,
    PLACES,
    enter_lane,
    raise_twice_and_least,
    set_lane,
)
from siloom.sim.engine.dram_timing import MAX_BANKS, NEVER, Timing
from siloom.sim.jit import inline_kernel, kernel

COUNTS = (
    "hits", "misses", "conflicts", "activates", "refreshes", "reads", "writes", "turnarounds",
    "wait_request", "wait_row", "wait_activate", "wait_refresh", "wait_group", "wait_turnaround",
)  # fmt: skip
"""What is counted. The first three are requests, by how they found their row: open, closed, another's. Those
named wait_* are clocks between bursts, by what the burst after them waited for: they and the bursts add up
to the clocks until the last column command's burst would end."""

(
    CLOCK, TAKEN, MODE, LAST, LAST_RANK, BUSY_FROM, TURNED, FINISH, TURN_AT, ASKED,
    TAIL, COUNT, SERVED, HIT_BANKS,
) = range(14)  # fmt: skip
"""Scalars. Others read ``CLOCK``, the last event's, ``TAKEN``, the place of the first request not yet taken in,
and ``FINISH``, the end of the last data. ``TAIL`` is the next place to be given."""
OTHER = 16
BASE = 40  # the clock that those of lanes are counted from
STALE = 41  # ``COLUMNS`` are to be set anew before they are looked at
COUNTED = slice(42, 42 + len(COUNTS))  # what is counted, in the order of ``COUNTS``
(
    HITS, MISSES, CONFLICTS, ACTIVATES, REFRESHES, READS, WRITES, TURNAROUNDS,
    WAIT_REQUEST, WAIT_ROW, WAIT_ACTIVATE, WAIT_REFRESH, WAIT_GROUP, WAIT_TURNAROUND,
) = range(COUNTED.start, COUNTED.stop)  # fmt: skip
OPEN = 64
ROW_READY = OPEN + MAX_BANKS  # when the open row was activated
ACT_AT = ROW_READY + MAX_BANKS  # no activation before this
FOUND = ACT_AT + MAX_BANKS  # how the row was found, until its first column command
WHY = FOUND + MAX_BANKS  # what the activation waited for
COLUMN_AT = WHY + MAX_BANKS  # by group
LAST_COLUMN = COLUMN_AT + MAX_BANKS  # by group: reads, writes
LAST_ACTS = LAST_COLUMN + 2 * MAX_BANKS  # the last three of each rank, four words each, counted from the base
REFRESH_AT = LAST_ACTS + 4 * MAX_BANKS
REFRESH_BANK = REFRESH_AT + MAX_BANKS
# Masks of places, each two words 64 apart: of reads, ``WRITTEN`` on of writes.
WRITTEN = 2 * 64
PENDING = REFRESH_BANK + MAX_BANKS  # by bank
HITS_OF = PENDING + 2 * WRITTEN  # by bank: those whose row is open and not to be closed
ALIKE = HITS_OF + 2 * WRITTEN  # by the row's low 6 bits: those with such rows, and some that are gone
LIVE = ALIKE + 2 * WRITTEN  # all
ROW = LIVE + 2 * WRITTEN  # by place in the queue: reads, writes
BANK = ROW + 2 * WRITTEN
WHO = BANK + 2 * WRITTEN
AGE = WHO + 2 * WRITTEN  # how many came before it
# Lanes by bank, of what can go first: no activation before this, and the oldest that waits for a row; no column
# before this, and the oldest hit. Places are kept up where they are looked at only, columns only of banks with hits.
ACTS = AGE + 2 * WRITTEN + 8  # behind a line of a cache that is written where no lane is to be
COLUMNS = ACTS + MAX_BANKS // 2
GAPS = COLUMNS + MAX_BANKS // 2
"""Lanes of ``MAX_BANKS`` each: no gaps; by group, those after its activation, after its column; by rank, none in it."""

FAR = 1 << 22
"""So far from the base, lanes are counted from a new one: with a key's 7 bits they must fit 31."""
BEHIND = 1 << 19
"""So long before now is a new base: nothing that is waited for was ready as early."""

_GAP_WORDS = MAX_BANKS // 2  # those of most banks, whatever a part has: so a row is found by a shift
_LONG_AGO = -NEVER
_REFRESHED = -2  # a row closed by a refresh; -1: by a precharge


def _gaps(timing: Timing) -> NDArray[np.int64]:
    """The words at ``GAPS``."""
    lanes = np.arange(MAX_BANKS)
    group, rank = lanes >> timing.bank_bits, lanes >> (timing.bank_bits + timing.group_bits)
    rows = [np.zeros_like(lanes)]
    for here in range(timing.banks >> timing.bank_bits):
        same = rank == here >> timing.group_bits
        gap = np.where(same, timing.rrd_s, NO_GAP)
        rows.append(np.where(group == here, max(timing.rrd_l, timing.rrd_s), gap))
    for here in range(timing.banks >> timing.bank_bits):
        same = rank == here >> timing.group_bits
        gap = np.where(same, timing.ccd_s, timing.ccd_r)
        rows.append(np.where(group == here, max(timing.ccd_l, timing.ccd_s), gap))
    rows += [np.where(rank == here, 0, NO_GAP) for here in range(1 << timing.rank_bits)]
    return (np.concatenate(rows) << PLACE_BITS).astype(np.int32).view(np.int64)


def new_channels(timing: Timing, firsts: NDArray[np.int64]) -> NDArray[np.int64]:
    """States [channels] of idle channels with every row closed, whose requests begin at places ``firsts``."""
    gaps = _gaps(timing)
    size = GAPS + len(gaps)
    size += -size % 8
    words = np.zeros(len(firsts) * size + 8, np.int64)
    words = words[-(words.ctypes.data >> 3) % 8 :]  # a chunk of lanes lies in one line of a cache
    states = words[: len(firsts) * size].reshape(-1, size)
    states[:, GAPS : GAPS + len(gaps)] = gaps
    states[:, TAKEN], states[:, TURN_AT] = firsts, NEVER
    states[:, LAST] = _LONG_AGO
    states[:, ROW_READY:ACT_AT] = _LONG_AGO
    states[:, OPEN:ROW_READY] = -1
    states[:, FOUND:WHY] = HITS
    states[:, COLUMN_AT:LAST_ACTS] = _LONG_AGO
    states[:, LAST_ACTS:REFRESH_AT] = -FAR
    ranks = 1 << timing.rank_bits
    for rank in range(ranks):
        states[:, REFRESH_AT + rank] = timing.refi * (rank + 1) // ranks if timing.rfc else NEVER
    return states


def new_channel(timing: Timing, first: int = 0) -> NDArray[np.int64]:
    """State of one such channel."""
    state: NDArray[np.int64] = new_channels(timing, np.array([first]))[0]
    return state


@inline_kernel
def ask_for_row(
    bank: int, wanted: int, precharge: int, now: int, place: int, base: int, state: NDArray[np.int64]
) -> int:
    """From ``now`` on the bank is to be opened anew, for the request at ``place``, where ``wanted`` is 1, not 0.

    ``precharge`` is how long that takes before. Return the key; of 0, ``NO_KEY``.
    """
    at = state[u(ACT_AT + bank)]
    asked = max(at, now + precharge)
    state[u(ACT_AT + bank)] = asked if wanted else at
    # The lane has been raised by whatever group and rank forbid.
    key = enter_lane(state, ACTS, bank, wanted, asked - base, place)
    return key if wanted else NO_KEY


@inline_kernel
def key_of(clock: int, place: int) -> int:
    """A key of a clock, counted from the base, and a place."""
    return (clock << PLACE_BITS) | place


@inline_kernel
def precharge_of(bank: int, timing: Timing, state: NDArray[np.int64]) -> int:
    """How long a precharge of the bank takes: none where no row is open."""
    return timing.rp if state[u(OPEN + bank)] >= 0 else 0


@inline_kernel
def row_of(queue: int, place: int, state: NDArray[np.int64]) -> int:
    """The row that the request at a place asks for."""
    return int(state[u(ROW + queue + place)])


@inline_kernel
def bank_of(queue: int, place: int, state: NDArray[np.int64]) -> int:
    """The bank that it asks for."""
    return int(state[u(BANK + queue + place)])


@inline_kernel
def who_of(queue: int, place: int, state: NDArray[np.int64]) -> int:
    """Its place in the stream."""
    return int(state[u(WHO + queue + place)])


@inline_kernel
def age_of(queue: int, place: int, state: NDArray[np.int64]) -> int:
    """How many of its queue came before it."""
    return int(state[u(AGE + queue + place)])


@inline_kernel
def bit_of(place: int) -> int:
    """The bit of a place in its word of a mask."""
    return 1 << (place & 63)


@inline_kernel
def lowest_of(first: int, second: int) -> int:
    """The lowest place of a mask; of none: 64."""
    return int(lowest_bit(first) if first else 64 | lowest_bit(second))


@inline_kernel
def oldest_place(masks: int, queue: int, state: NDArray[np.int64]) -> int:
    """The oldest of the requests of a queue's mask at ``masks``; of none: any place."""
    return lowest_of(state[u(masks + queue)], state[u(masks + queue + 64)])


@inline_kernel
def has_any(masks: int, queue: int, state: NDArray[np.int64]) -> int:
    """Not 0 if there are requests in a queue's mask."""
    return int(state[u(masks + queue)] | state[u(masks + queue + 64)])


@inline_kernel
def none_of(masks: int, queue: int, state: NDArray[np.int64]) -> None:
    """Empty a queue's mask."""
    state[u(masks + queue)] = state[u(masks + queue + 64)] = 0


@inline_kernel
def ask_for_rows(banks: int, now: int, queue: int, base: int, timing: Timing, state: NDArray[np.int64]) -> None:
    """As :func:`ask_for_row` for every bank of a mask, for the oldest request to each."""
    while banks:
        bank = lowest_bit(banks)
        place = oldest_place(PENDING + bank, queue, state)
        ask_for_row(bank, 1, precharge_of(bank, timing, state), now, place, base, state)
        banks &= banks - 1


@inline_kernel
def asked_for(banks: int, queue: int, state: NDArray[np.int64]) -> int:
    """Those of a mask of banks that a queue's requests ask for."""
    found = 0
    left = banks
    while left:
        bank = lowest_bit(left)
        found |= int(has_any(PENDING + bank, queue, state) != 0) << bank
        left &= left - 1
    return found


@inline_kernel
def note_oldest(banks: int, queue: int, state: NDArray[np.int64]) -> None:
    """Set ``ACTS`` of a mask of banks to the place of the oldest request to each."""
    while banks:
        bank = lowest_bit(banks)
        enter_lane(state, ACTS, bank, 1, 0, oldest_place(PENDING + bank, queue, state))
        banks &= banks - 1


@inline_kernel
def alike(bank: int, row: int, queue: int, half: int, state: NDArray[np.int64]) -> int:
    """Half (0 or 64) of the mask of the bank's requests that may ask for ``row``."""
    return int(state[u(PENDING + queue + half + bank)] & state[u(ALIKE + queue + half + (row & 63))])


@inline_kernel
def first_hits(bank: int, row: int, place: int, own: int, queue: int, state: NDArray[np.int64]) -> int:
    """Make hits of the bank's requests that ask for ``row``; it had none. Return 0 if there are none now.

    That at ``place`` is known to be one if ``own`` is its bit, not 0.
    """
    here, there = place & 64, ~place & 64
    if rare((alike(bank, row, queue, here, state) & ~own) | alike(bank, row, queue, there, state) != 0):
        return match_rows(bank, row, queue, state)
    state[u(HITS_OF + queue + here + bank)] = own
    return own


@inline_kernel
def other_hits(bank: int, row: int, queue: int, hit_banks: int, state: NDArray[np.int64]) -> int:
    """Make hits of the bank's requests that ask for ``row``, and of no other; return the mask of banks with hits.

    Mostly there are none, nor were.
    """
    if rare(alike(bank, row, queue, 0, state) | alike(bank, row, queue, 64, state) | ((hit_banks >> bank) & 1) != 0):
        found = match_rows(bank, row, queue, state)
        return (hit_banks & ~(1 << bank)) | ((1 << bank) if found else 0)
    return hit_banks


@kernel
def match_rows(bank: int, row: int, queue: int, state: NDArray[np.int64]) -> int:
    """Make hits of the bank's requests that ask for ``row``, and of no other; return 0 if there are none."""
    any_found = 0
    for half in range(0, WRITTEN, 64):
        left = alike(bank, row, queue, half, state)
        found = 0
        while left:
            if row_of(queue + half, lowest_bit(left), state) == row:
                found |= left & -left
            left &= left - 1
        state[u(HITS_OF + queue + half + bank)] = found
        any_found |= found
    return any_found


@inline_kernel
def lose_hits(banks: int, state: NDArray[np.int64]) -> None:
    """No request to any bank of a mask is a hit."""
    while banks:
        bank = lowest_bit(banks)
        none_of(HITS_OF + bank, 0, state)
        none_of(HITS_OF + bank, WRITTEN, state)
        banks &= banks - 1


@kernel
def pack_queue(queue: int, state: NDArray[np.int64]) -> int:
    """Move a queue's requests to its first places, in order; return the first that is free."""
    first, second = state[u(LIVE + queue)], state[u(LIVE + queue + 64)]
    if first == 0 and popcount(np.uint64(second)) > 16:
        # As in a stream, which is served in order: all are moved side by side.
        for place in range(queue, queue + 64):
            state[u(ROW + place)] = state[u(ROW + 64 + place)]
            state[u(BANK + place)] = state[u(BANK + 64 + place)]
            state[u(WHO + place)] = state[u(WHO + 64 + place)]
            state[u(AGE + place)] = state[u(AGE + 64 + place)]
        for word in range(queue, queue + 64):
            state[u(PENDING + word)] = state[u(PENDING + 64 + word)]
            state[u(HITS_OF + word)] = state[u(HITS_OF + 64 + word)]
            state[u(ALIKE + word)] = state[u(ALIKE + 64 + word)]
            state[u(PENDING + 64 + word)] = state[u(HITS_OF + 64 + word)] = state[u(ALIKE + 64 + word)] = 0
        state[u(LIVE + queue)], state[u(LIVE + queue + 64)] = second, 0
        return 64
    for word in range(queue, queue + 2 * 64):
        state[u(ALIKE + word)] = state[u(PENDING + word)] = 0
    to = 0
    for half in range(queue, queue + 2 * 64, 64):
        left = state[u(LIVE + half)]
        while left:
            place = half + lowest_bit(left)
            row, bank, bit = state[u(ROW + place)], state[u(BANK + place)], 1 << to
            state[u(ROW + queue + to)], state[u(BANK + queue + to)] = row, bank
            state[u(WHO + queue + to)], state[u(AGE + queue + to)] = state[u(WHO + place)], state[u(AGE + place)]
            state[u(PENDING + queue + bank)] |= bit
            state[u(ALIKE + queue + (row & 63))] |= bit
            hit = left & -left & state[u(HITS_OF + half + bank)]
            state[u(HITS_OF + half + bank)] ^= hit
            state[u(HITS_OF + queue + bank)] |= bit if hit else 0
            left &= left - 1
            to += 1
    state[u(LIVE + queue)], state[u(LIVE + queue + 64)] = (1 << to) - 1, 0
    return to


@inline_kernel
def turn_bus(mode: int, timing: Timing, state: NDArray[np.int64]) -> None:
    """Hold back the columns of every group until the bus has turned; ``mode``: 1 to writes, 0 to reads."""
    groups = 1 << (timing.rank_bits + timing.group_bits)
    last = _LONG_AGO
    for group in range(groups):
        last = max(last, state[u(LAST_COLUMN + (1 - mode) * MAX_BANKS + group)])
    if mode:
        allowed = last + timing.cl + timing.burst + timing.turnaround - timing.cwl
        for group in range(groups):
            state[u(COLUMN_AT + group)] = max(state[u(COLUMN_AT + group)], allowed)
        return
    written = timing.cwl + timing.burst
    elsewhere = last + written + timing.ccd_r - timing.burst - timing.cl
    per_rank = 1 << timing.group_bits
    for rank in range(1 << timing.rank_bits):
        last = _LONG_AGO
        for group in range(rank * per_rank, (rank + 1) * per_rank):
            last = max(last, state[u(LAST_COLUMN + MAX_BANKS + group)])
        for group in range(rank * per_rank, (rank + 1) * per_rank):
            same = state[u(LAST_COLUMN + MAX_BANKS + group)] + written + timing.wtr_l
            state[u(COLUMN_AT + group)] = max(
                state[u(COLUMN_AT + group)], same, last + written + timing.wtr_s, elsewhere
            )


@inline_kernel
def refresh(rank: int, due: int, asked: int, base: int, timing: Timing, state: NDArray[np.int64]) -> int:
    """Refresh what is due; return the mask of the banks, which are closed until it is over.

    ``asked``: banks that are being precharged already.
    """
    width = timing.group_bits + timing.bank_bits
    first, last = rank << width, (rank + 1) << width
    if timing.per_bank:
        first += state[u(REFRESH_BANK + rank)]
        last = first + 1
        state[u(REFRESH_BANK + rank)] = (state[u(REFRESH_BANK + rank)] + 1) & ((1 << width) - 1)
    start = due
    for bank in range(first, last):
        if state[u(OPEN + bank)] >= 0 and not (asked >> bank) & 1:
            start = max(start, due + timing.rp)
        start = max(start, state[u(ACT_AT + bank)])
    mask = 0
    for bank in range(first, last):
        state[u(OPEN + bank)] = _REFRESHED
        state[u(ACT_AT + bank)] = start + timing.rfc
        enter_lane(state, ACTS, bank, 1, start + timing.rfc - base, 0)
        mask |= 1 << bank
    state[u(REFRESH_AT + rank)] += timing.refi
    return mask


@inline_kernel
def column_ready(bank: int, opens: int, last: int, last_rank: int, timing: Timing, state: NDArray[np.int64]) -> int:
    """When a column command to ``bank``'s open row may go; ``opens`` is tRCD."""
    group = bank >> timing.bank_bits
    gap = timing.ccd_s if group >> timing.group_bits == last_rank else timing.ccd_r
    return int(max(state[u(ROW_READY + bank)] + opens, state[u(COLUMN_AT + group)], last + gap))


@inline_kernel
def count_columns(
    banks: int, queue: int, base: int, opens: int, last: int, last_rank: int, timing: Timing,
    state: NDArray[np.int64],
) -> None:  # fmt: skip
    """Set ``COLUMNS`` of a mask of banks, each with a hit, from the channel's own; clocks long past become 0."""
    while banks:
        bank = lowest_bit(banks)
        ready = column_ready(bank, opens, last, last_rank, timing, state)
        set_lane(state, COLUMNS, bank, key_of(max(ready - base, 0), oldest_place(HITS_OF + bank, queue, state)))
        banks &= banks - 1


@kernel
def shift_acts(clocks: int, state: NDArray[np.int64]) -> None:
    """Count the clocks of ``ACTS`` and ``LAST_ACTS`` from a base that is so many clocks later.

    Those of ``ACTS`` that are long past become 0, the others less than that.
    """
    for act in range(4 * MAX_BANKS):
        state[u(LAST_ACTS + act)] = max(state[u(LAST_ACTS + act)] - clocks, -FAR)
    lanes = state.view(np.int32)
    for bank in range(MAX_BANKS):
        lane = lanes[u(2 * ACTS + bank)]
        clock = max((lane >> PLACE_BITS) - min(clocks, 2 * FAR), 0)
        lanes[u(2 * ACTS + bank)] = np.int32(key_of(clock, lane & PLACES))


@inline_kernel
def open_row(
    bank: int, row: int, at: int, asked: int, base: int, chunks: int, timing: Timing, state: NDArray[np.int64]
) -> int:
    """Activate ``row`` at clock ``at``; return the key of the next activation."""
    group = bank >> timing.bank_bits
    rank = group >> timing.group_bits
    before, own = state[u(OPEN + bank)], state[u(ACT_AT + bank)]
    # What group and rank forbid alone makes a bank wait for longer than it has to itself.
    state[u(WHY + bank)] = WAIT_ACTIVATE if at > own else WAIT_REFRESH if before == _REFRESHED else WAIT_ROW
    state[u(FOUND + bank)] = CONFLICTS if before >= 0 else MISSES
    state[u(OPEN + bank)] = row
    state[u(ROW_READY + bank)] = at
    state[u(ACT_AT + bank)] = at + timing.rc
    recent = LAST_ACTS + 4 * rank
    window = state[u(recent + 2)] + timing.faw  # this one is the fourth
    state[u(recent + 2)] = state[u(recent + 1)]
    state[u(recent + 1)] = state[u(recent)]
    state[u(recent)] = at - base
    groups = 1 << (timing.rank_bits + timing.group_bits)
    key = raise_twice_and_least(
        state, ACTS, chunks, at - base, GAPS + (1 + group) * _GAP_WORDS, window,
        GAPS + (1 + 2 * groups + rank) * _GAP_WORDS, asked,
    )  # fmt: skip
    return int(key)


@inline_kernel
def gaps_after(group: int, timing: Timing) -> int:
    """The word of the gaps after a column of ``group``."""
    return GAPS + (1 + (1 << (timing.rank_bits + timing.group_bits)) + group) * _GAP_WORDS


@inline_kernel
def count_wait(
    bank: int, now: int, opens: int, last: int, last_rank: int, idle_from: int, busy_from: int, turned: int,
    timing: Timing, state: NDArray[np.int64],
) -> None:  # fmt: skip
    """Give the clocks between the last burst and the one of a column command at ``now`` their causes.

    ``idle_from``: the last burst's end, 0 of none. The null cause, waiting for a request, also has those until
    ``busy_from``, when one came to empty queues.
    """
    group = bank >> timing.bank_bits
    moved = group >> timing.group_bits != last_rank and now == last + timing.ccd_r
    why = WAIT_TURNAROUND if moved else WAIT_REQUEST
    why = (WAIT_GROUP + turned) if now == state[u(COLUMN_AT + group)] else why
    why = state[u(WHY + bank)] if now == state[u(ROW_READY + bank)] + opens else why
    if busy_from > idle_from:
        state[WAIT_REQUEST] += busy_from - idle_from
        idle_from = busy_from
    state[u(why)] += now - idle_from


@inline_kernel
def put(place: int, who: int, row: int, bank: int, age: int, queue: int, state: NDArray[np.int64]) -> None:
    """Enter a request in a queue's place."""
    state[u(ROW + queue + place)] = row
    state[u(BANK + queue + place)] = bank
    state[u(WHO + queue + place)] = who
    state[u(AGE + queue + place)] = age
    segment, bit = queue + (place & 64), bit_of(place)
    state[u(LIVE + segment)] |= bit
    state[u(ALIKE + segment + (row & 63))] |= bit
    state[u(PENDING + segment + bank)] |= bit


@inline_kernel
def drop(place: int, bank: int, queue: int, state: NDArray[np.int64]) -> None:
    """Take the request to ``bank`` out of its place."""
    segment, bit = queue + (place & 64), bit_of(place)
    state[u(LIVE + segment)] ^= bit
    state[u(PENDING + segment + bank)] ^= bit


@inline_kernel
def swap_queues(tail: int, served: int, hit_banks: int, state: NDArray[np.int64]) -> tuple[int, int, int]:
    """Keep the scalars of the queue that was served; return those of the other."""
    others = state[TAIL + OTHER], state[SERVED + OTHER], state[HIT_BANKS + OTHER]
    state[TAIL + OTHER], state[SERVED + OTHER], state[HIT_BANKS + OTHER] = tail, served, hit_banks
    return others


@kernel
def ask_for_others(
    asked: int, hit_banks: int, now: int, other: int, base: int, timing: Timing, state: NDArray[np.int64]
) -> int:
    """Ask for rows for the ``other`` queue from now on, wherever no row is open that either queue hits.

    Rows that were ``asked`` to be closed for the queue that is served, whose precharge has gone, are closed for
    the other's requests too. Return the mask of the banks that are asked for, and set the other's hits.
    """
    lanes = state.view(np.int32)
    hit_others = state[HIT_BANKS + OTHER]
    closed = found = 0
    # By selection, of all banks, several at once: which are concerned nobody can foretell.
    for bank in range(1 << (timing.rank_bits + timing.group_bits + timing.bank_bits)):
        row, at = state[u(OPEN + bank)], state[u(ACT_AT + bank)]
        first, second = state[u(PENDING + other + bank)], state[u(PENDING + other + 64 + bank)]
        gone = (asked >> bank) & 1 & int(row >= 0) & int(now > at - timing.rp)
        row = -1 if gone else row
        state[u(OPEN + bank)] = row
        closed |= gone << bank
        new = ~(hit_banks >> bank) & (~(hit_others >> bank) | gone) & int((first | second) != 0) & 1
        found |= new << bank
        at_new = max(at, now + (timing.rp if row >= 0 else 0))
        state[u(ACT_AT + bank)] = at_new if new else at
        lane = lanes[u(2 * ACTS + bank)]
        clock = max(lane & np.int32(-1 << PLACE_BITS), np.int32((at_new - base) << PLACE_BITS))
        place = lowest_of(first, second)
        lanes[u(2 * ACTS + bank)] = (clock | np.int32(place)) if new else lane
    state[HIT_BANKS + OTHER] = hit_others & ~closed
    lost = hit_others & closed
    while lost:
        none_of(HITS_OF + lowest_bit(lost), other, state)
        lost &= lost - 1
    return found


@inline_kernel
def skip_refreshes(until: int, due: int, timing: Timing, state: NDArray[np.int64]) -> int:
    """Of an idle time, pass whole rounds of refreshes but the last; return when the next is due."""
    banks = 1 << (timing.rank_bits + timing.group_bits + timing.bank_bits)
    rounds = max(0, (until - due) // (banks * timing.refi) - 1)
    ranks = 1 << timing.rank_bits
    for rank in range(ranks):
        state[u(REFRESH_AT + rank)] += rounds * banks * timing.refi
    state[REFRESHES] += rounds * banks * ranks
    return due + rounds * banks * timing.refi


@inline_kernel
def next_refresh(timing: Timing, state: NDArray[np.int64]) -> int:
    """The rank whose refresh is due next."""
    found = 0
    for rank in range(1, 1 << timing.rank_bits):
        if state[u(REFRESH_AT + rank)] < state[u(REFRESH_AT + found)]:
            found = rank
    return found


@inline_kernel
def note_finish(timing: Timing, state: NDArray[np.int64]) -> None:
    """Set ``FINISH`` by the last columns."""
    for group in range(1 << (timing.rank_bits + timing.group_bits)):
        read, written = state[u(LAST_COLUMN + group)], state[u(LAST_COLUMN + MAX_BANKS + group)]
        last = max(read + timing.cl, written + timing.cwl) + timing.burst
        state[FINISH] = max(state[FINISH], last)
