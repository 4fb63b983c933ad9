"""The merge phase of an outer-product machine: one PE turns the chunks of a row into a result row.

A PE walks the row's linked list of chunks, loads each chunk's first element into a list sorted by
column in its scratchpad, then repeats: take the smallest head, add it to the result or start a new
entry, refill from the same chunk, and insert the refill by walking the list from its front. The list
of chunks begins with the one that was linked last. Loads go through a private cache that all streams
of the row share, so a row with more chunks than the cache has blocks evicts its own heads; every load
stalls the PE, hit or miss, since the next smallest head is not known before the refill is there. Rows
with more chunks than the scratchpad holds are merged in rounds, whose results are written to memory and
read again; those of one level begin in a block of their own, because the cache does not see what is
written around it.

The product is computed on the way, in the hardware's order of additions. Since a PE's cache is its
own, what it does between two memory requests depends on its row alone: :func:`_advance` runs a row
ahead into a short list of requests, and :func:`row_merge` serves the requests of all PEs in global
time order.

What it does not model: prefetching of refills and overlapping of loads (the machine has neither). The
last, partly filled block of a spilled round stays in the PE's write buffer. ``log`` lists the accesses
of each cache in order, but those of different PEs as they were run ahead.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from siloom.sim.engine import dram
from siloom.sim.engine.arrays import borrow, u
from siloom.sim.engine.cache import empty_cache, new_cache, probe, set_start, touch
from siloom.sim.engine.dram import DramState, DramTiming
from siloom.sim.engine.outer_multiply import (
    BANDWIDTH,
    COMPUTE,
    DISPATCH,
    ELEMENT_BYTES,
    HEAD_BYTES,
    LATENCY,
    LINK_BYTES,
    MSHR,
    close_phase,
)
from siloom.sim.engine.prefetch import prefetch
from siloom.sim.engine.timeline import record
from siloom.sim.engine.tournament import NEVER, bits_for, free_slot, new_tree, next_place, replace
from siloom.sim.jit import inline_kernel, kernel
from siloom.sim.units.chunk_merger import STREAM_BITS, insert_head

Ints = NDArray[np.int64]
Reals = NDArray[np.float64]

LOADS, MISSES, L1_HITS, L1_MISSES, STEPS, POPS, ADDS, SPILLED, ROUNDS, ROWS = range(10)
"""Places in ``counts``."""

REQUESTS = 64
"""Requests that a PE's row runs ahead; the result does not depend on it."""
_ROOM = 8

AHEAD = 8
"""Elements that the host is told of before they are read: one line of values."""

ROWS_AHEAD = 8
MOST_FORETOLD = 64
"""Rows, and chunks of each, that the host is told of before they are handed out."""

WRITE = 1
"""A request is its block, shifted left by one, and this bit where it writes."""
START, LOAD, POP = 0, 1, 2
CURSOR, STOP, PLACE, SLOT, KEY = 0, 1, 2, 3, 4
STREAM_SHIFT = 3
"""A stream: its head, its end, the address of element 0, its head's cache slot, its first column."""


class MergeArray(NamedTuple):
    """Shape and times (cycles) of the merging PEs; sizes in bytes; no second level where ``l1_sets`` is 0."""

    tiles: int
    pes: int
    tiles_per_l1: int
    sets: int
    ways: int
    l1_sets: int
    l1_ways: int
    block_bits: int
    burst_bits: int
    l1_mshrs: int
    heads: int
    dispatch: int
    element: int
    step: int
    add: int
    l0_latency: int
    l1_latency: int
    begin: int


class Chunks(NamedTuple):
    """The partial products by result row.

    Row m has chunks ``row_ptr[m] .. row_ptr[m+1]``: chunk c is ``scale[c]`` times elements
    ``first[c] .. first[c] + length[c]`` of ``cols``, ``vals`` and lies at byte ``at[c]``. ``lists``
    are the list heads, ``pointers`` the result's row pointers. Results go behind ``result`` and
    rounds behind ``spill``, each PE into its own ``slice`` of bytes.
    """

    row_ptr: Ints
    first: Ints
    length: Ints
    scale: Reals
    at: Ints
    cols: NDArray[np.int32]
    vals: Reals
    lists: int
    pointers: int
    result: int
    spill: int
    slice: int


@inline_kernel
def column_weight(column: int) -> float:
    """A fixed weight in [1, 2) for each column: rows times these check positions and values.

    Multiplicative hashing into the mantissa, rather than a table: one more miss for every entry.
    """
    return np.int64((0x3FF << 52) | ((column * 0x1E3779B97F4A7C15) & ((1 << 52) - 1))).view(np.float64)


class Outcome(NamedTuple):
    """What the phase computes; see :func:`row_merge`."""

    row_sums: Reals
    row_counts: Ints
    keep_ptr: Ints
    keep_cols: Ints
    keep_vals: Reals


(
    PHASE,
    ROW,
    GROUP,
    GROUPS_END,
    FROM_RUNS,
    FINAL,
    STREAMS,
    LOADED,
    SIZE,
    LAST_COL,
    MADE,
    OUT_BYTES,
    SPILL_BYTES,
    RUN_BASE,
    OUT_BASE,
    RUNS_MADE,
    EVENTS,
    TAIL,
    FIELDS,
) = range(19)
"""Columns of ``MergeRows.pes``."""


class MergeRows(NamedTuple):
    """What each PE (first axis) is doing with its row.

    Few arrays with named columns rather than many arrays: each array of an argument costs two counts
    of references a call, and what a PE needs at once lies together. ``pes`` [PEs, FIELDS]; of its
    sorted list ``heads`` [PEs, heads]; of each stream ``stream`` [PEs, heads << STREAM_SHIFT] and
    ``value`` [PEs, 2 * heads], the head's product and the chunk's factor; ``last_val`` [PEs] the open
    entry; ``requests`` [PEs, 2 * REQUESTS] cycles since the one before, and block with the WRITE bit;
    ``cache`` the private caches.
    """

    pes: Ints
    heads: Ints
    stream: Ints
    value: Reals
    last_val: Reals
    requests: Ints
    cache: Ints


def new_rows(shape: MergeArray) -> MergeRows:
    """PEs without work, with empty private caches."""
    servers, heads = shape.tiles * shape.pes, shape.heads
    return MergeRows(
        pes=np.zeros((servers, FIELDS), np.int64),
        heads=np.zeros((servers, heads), np.int64),
        stream=np.zeros((servers, heads << STREAM_SHIFT), np.int64),
        value=np.zeros((servers, 2 * heads)),
        last_val=np.zeros(servers),
        requests=np.zeros((servers, 2 * REQUESTS), np.int64),
        cache=empty_cache(servers, shape.sets, shape.ways),
    )


@inline_kernel
def _load(
    low: int, size: int, block_bits: int, pe: int, sets: int, ways: int, latency: int, cache: Ints, now: int,
    n: int, gap: int, requests: Ints, log: Ints,
) -> tuple[int, int, int, int]:  # fmt: skip
    """Read bytes ``low .. low + size`` through the PE's cache; a hit takes its latency, a miss becomes a request.

    ``now`` counts the accesses before. Returns the new ``now``, the number of requests, the cycles
    since the last of them, and the slot of the last block.
    """
    block = low >> block_bits
    last = (low + size - 1) >> block_bits
    slot = 0
    while block <= last:
        slot = touch(cache, set_start(pe, sets, ways, block), ways, block, now + 1)
        if now < len(log):
            log[now, 0] = pe
            log[now, 1] = block
            log[now, 2] = slot >= 0
        now += 1
        if slot < 0:
            slot = -1 - slot
            requests[u(2 * n)] = gap
            requests[u(2 * n + 1)] = block << 1
            n += 1
            gap = 0
        else:
            gap += latency
        block += 1
    return now, n, gap, slot


@inline_kernel
def _start_row(pe: int, m: int, first: int, end: int, heads: int, pes: Ints) -> None:
    """Give row ``m`` with chunks ``first`` to ``end`` to the PE."""
    pes[pe, PHASE] = START
    pes[pe, ROW] = m
    pes[pe, GROUP] = first
    pes[pe, GROUPS_END] = end
    pes[pe, FROM_RUNS] = 0
    pes[pe, FINAL] = end - first <= heads
    pes[pe, RUNS_MADE] = 0
    pes[pe, MADE] = 0


@inline_kernel
def _foretell(m: int, op: Chunks) -> None:
    """Tell the host of the first elements of row ``m``, which some PE will be given soon."""
    if m + 1 < len(op.row_ptr):
        first = op.row_ptr[u(m)]
        for c in range(first, min(op.row_ptr[u(m + 1)], first + MOST_FORETOLD)):
            prefetch(op.cols, op.first[u(c)])
            prefetch(op.vals, op.first[u(c)])


@inline_kernel
def _level_bound(first: int, end: int, lengths: Ints, heads: int, columns: int) -> int:
    """Most elements that merging groups of ``heads`` runs can leave."""
    bound = 0
    total = 0
    for c in range(first, end):
        total += lengths[c]
        if (c - first + 1) % heads == 0 or c == end - 1:
            bound += min(total, columns)
            total = 0
    return bound


@inline_kernel
def _advance(
    pe: int,
    columns: int,
    op: Chunks,
    out: Outcome,
    shape: MergeArray,
    st: MergeRows,
    cache: Ints,
    counts: Ints,
    log: Ints,
    run_ptr: list[Ints],
    run_cols: list[NDArray[np.int32]],
    run_vals: list[Reals],
    out_ptr: list[Ints],
    out_cols: list[NDArray[np.int32]],
    out_vals: list[Reals],
) -> bool:
    """Run the PE's row until its requests fill up or the row is done; return whether it is done.

    Column TAIL of ``st.pes`` receives the cycles after the last request.
    """
    n = 0
    gap = 0
    pops = 0
    walked = 0
    adds = 0
    row_done = False
    keep = len(out.keep_ptr) > 0
    mine = st.pes[pe]
    m = mine[ROW]
    heads = st.heads[pe]
    mask = (1 << STREAM_BITS) - 1
    stream = st.stream[pe]
    value = st.value[pe]
    requests = st.requests[pe]
    now = counts[LOADS]
    # Arrays are taken out of their tuples once: each access in the loop would count a reference.
    chunk_first, chunk_length, chunk_scale, chunk_at = op.first, op.length, op.scale, op.at
    cols, vals = op.cols, op.vals
    row_counts, row_sums = out.row_counts, out.row_sums
    keep_ptr, keep_cols, keep_vals = out.keep_ptr, out.keep_cols, out.keep_vals
    phase = mine[PHASE]
    while n < REQUESTS - _ROOM:
        if phase == START:
            first = mine[GROUP]
            if first == mine[GROUPS_END]:
                if mine[FINAL] != 0:
                    if mine[FROM_RUNS] != 0:
                        run_cols[pe] = np.empty(0, np.int32)
                        run_vals[pe] = np.empty(0, np.float64)
                    row_done = True
                    break
                # This level's results are the next level's runs.
                level = mine[RUNS_MADE]
                run_ptr[pe] = out_ptr[pe]
                run_cols[pe] = out_cols[pe]
                run_vals[pe] = out_vals[pe]
                out_cols[pe] = np.empty(0, np.int32)
                out_vals[pe] = np.empty(0, np.float64)
                mine[RUN_BASE] = mine[OUT_BASE]
                mine[FROM_RUNS] = 1
                mine[FINAL] = level <= shape.heads
                mine[GROUP] = 0
                mine[GROUPS_END] = level
                mine[RUNS_MADE] = 0
                first = 0
            if mine[FINAL] == 0 and mine[RUNS_MADE] == 0:
                end = mine[GROUPS_END]
                if mine[FROM_RUNS] != 0:
                    bound = _level_bound(0, end, np.diff(run_ptr[pe]), shape.heads, columns)
                else:
                    bound = _level_bound(first, end, chunk_length, shape.heads, columns)
                out_ptr[pe] = np.zeros((end - first + shape.heads - 1) // shape.heads + 1, np.int64)
                out_cols[pe] = np.empty(bound, np.int32)
                out_vals[pe] = np.empty(bound, np.float64)
                mine[SPILL_BYTES] = (
                    (mine[SPILL_BYTES] + (1 << shape.block_bits) - 1) >> shape.block_bits << shape.block_bits
                )
                mine[OUT_BASE] = op.spill + pe * op.slice + mine[SPILL_BYTES]
                mine[MADE] = 0
            width = min(shape.heads, mine[GROUPS_END] - first)
            mine[GROUP] = first + width
            mine[STREAMS] = width
            mine[LOADED] = 0
            mine[SIZE] = 0
            mine[LAST_COL] = -1
            counts[ROUNDS] += 1
            for s in range(width):
                c = first + s
                if mine[FROM_RUNS] != 0:
                    stream[u((s << STREAM_SHIFT) + CURSOR)] = run_ptr[pe][c]
                    stream[u((s << STREAM_SHIFT) + STOP)] = run_ptr[pe][c + 1]
                    stream[u((s << STREAM_SHIFT) + PLACE)] = mine[RUN_BASE]
                    stream[u((s << STREAM_SHIFT) + KEY)] = run_cols[pe][stream[u((s << STREAM_SHIFT) + CURSOR)]]
                    value[u(2 * s)] = run_vals[pe][stream[u((s << STREAM_SHIFT) + CURSOR)]]
                else:
                    stream[u((s << STREAM_SHIFT) + CURSOR)] = chunk_first[c]
                    stream[u((s << STREAM_SHIFT) + STOP)] = chunk_first[c] + chunk_length[c]
                    stream[u((s << STREAM_SHIFT) + PLACE)] = chunk_at[c] + LINK_BYTES - chunk_first[c] * ELEMENT_BYTES
                    # All first elements are fetched here, where the host can fetch many at a time.
                    prefetch(cols, chunk_first[c] + AHEAD)
                    prefetch(vals, chunk_first[c] + AHEAD)
                    stream[u((s << STREAM_SHIFT) + KEY)] = cols[chunk_first[c]]
                    value[u(2 * s)] = chunk_scale[c] * vals[chunk_first[c]]
                    value[u(2 * s + 1)] = chunk_scale[c]
            phase = LOAD
        elif phase == LOAD:
            from_runs = mine[FROM_RUNS] != 0
            # A chunk's link and its first element lie side by side; runs have no links.
            link = 0 if from_runs else LINK_BYTES
            streams = mine[STREAMS]
            size = mine[LOADED]
            while size < streams and n < REQUESTS - _ROOM:
                low = (
                    stream[u((size << STREAM_SHIFT) + PLACE)]
                    + stream[u((size << STREAM_SHIFT) + CURSOR)] * ELEMENT_BYTES
                    - link
                )
                block = low >> shape.block_bits
                end = (low + link + ELEMENT_BYTES - 1) >> shape.block_bits
                while True:
                    here = touch(cache, set_start(pe, shape.sets, shape.ways, block), shape.ways, block, now + 1)
                    if now < len(log):
                        log[now, 0] = pe
                        log[now, 1] = block
                        log[now, 2] = here >= 0
                    now += 1
                    if here < 0:
                        here = -1 - here
                        requests[u(2 * n)] = gap
                        requests[u(2 * n + 1)] = block << 1
                        n += 1
                        gap = 0
                    else:
                        gap += shape.l0_latency
                    if block == end:
                        break
                    block += 1
                stream[u((size << STREAM_SHIFT) + SLOT)] = here
                key = int(stream[u((size << STREAM_SHIFT) + KEY)])
                # The walk goes from the front; behind the new head the list moves up by one.
                steps = 0
                while steps < size and heads[u(steps)] < key << STREAM_BITS:
                    steps += 1
                for i in range(size, steps, -1):
                    heads[u(i)] = heads[u(i - 1)]
                heads[u(steps)] = (key << STREAM_BITS) | size
                walked += steps
                size += 1
                # After the last one popping begins at once; any other takes a cycle at least.
                gap += shape.step * steps if size == streams else max(shape.step * steps, 1)
            mine[LOADED] = size
            mine[SIZE] = size
            if size == streams:
                phase = POP
        else:
            from_runs = mine[FROM_RUNS] != 0
            final = mine[FINAL] != 0
            size = mine[SIZE]
            last_col = mine[LAST_COL]
            last_val = st.last_val[pe]
            if final:
                base = op.result + pe * op.slice + mine[OUT_BYTES]
                made = row_counts[m]
            else:
                base = mine[OUT_BASE] + mine[MADE] * ELEMENT_BYTES
                made = mine[MADE]
            began = made
            row_sum = 0.0
            while n < REQUESTS - _ROOM:
                s = heads[0] & mask
                col = heads[0] >> STREAM_BITS
                if size == 0 or col != last_col:
                    if last_col >= 0:
                        # The entry before is complete; a block that is full is written.
                        if final:
                            row_sum += last_val * column_weight(last_col)
                            if keep:
                                keep_cols[keep_ptr[m] + made] = last_col
                                keep_vals[keep_ptr[m] + made] = last_val
                        else:
                            out_cols[pe][made] = last_col
                            out_vals[pe][made] = last_val
                        block = base >> shape.block_bits
                        base += ELEMENT_BYTES
                        made += 1
                        if base >> shape.block_bits != block:
                            requests[u(2 * n)] = gap
                            requests[u(2 * n + 1)] = block << 1 | WRITE
                            n += 1
                            gap = 0
                    last_col = -1
                    if size == 0:
                        break
                    last_col = col
                    last_val = 0.0
                else:
                    adds += 1
                    gap += shape.add
                at = stream[u((s << STREAM_SHIFT) + CURSOR)]
                last_val += value[u(2 * s)]
                gap += shape.element
                pops += 1
                size -= 1
                at += 1
                stream[u((s << STREAM_SHIFT) + CURSOR)] = at
                if at == stream[u((s << STREAM_SHIFT) + STOP)]:
                    for i in range(size):
                        heads[u(i)] = heads[u(i + 1)]
                else:
                    low = stream[u((s << STREAM_SHIFT) + PLACE)] + at * ELEMENT_BYTES
                    here = stream[u((s << STREAM_SHIFT) + SLOT)]
                    block = low >> shape.block_bits
                    if (low + ELEMENT_BYTES - 1) >> shape.block_bits == block and cache[u(2 * here)] == block:
                        # Still where the stream's last element was: what _load would find.
                        if now < len(log):
                            log[now, 0] = pe
                            log[now, 1] = block
                            log[now, 2] = 1
                        now += 1
                        cache[u(2 * here + 1)] = now
                        gap += shape.l0_latency
                    else:
                        block = low >> shape.block_bits
                        end = (low + ELEMENT_BYTES - 1) >> shape.block_bits
                        while True:
                            here = touch(
                                cache, set_start(pe, shape.sets, shape.ways, block), shape.ways, block, now + 1
                            )
                            if now < len(log):
                                log[now, 0] = pe
                                log[now, 1] = block
                                log[now, 2] = here >= 0
                            now += 1
                            if here < 0:
                                here = -1 - here
                                requests[u(2 * n)] = gap
                                requests[u(2 * n + 1)] = block << 1
                                n += 1
                                gap = 0
                            else:
                                gap += shape.l0_latency
                            if block == end:
                                break
                            block += 1
                        stream[u((s << STREAM_SHIFT) + SLOT)] = here
                    if from_runs:
                        key = int(run_cols[pe][at])
                        value[u(2 * s)] = run_vals[pe][at]
                    else:
                        # Too many streams for the host to foresee: say what this one needs next.
                        prefetch(cols, at + AHEAD)
                        prefetch(vals, at + AHEAD)
                        key = int(cols[u(at)])
                        value[u(2 * s)] = value[u(2 * s + 1)] * vals[u(at)]
                    steps = insert_head(heads, size, key, s)
                    size += 1
                    walked += steps
                    gap += shape.step * steps
            mine[SIZE] = size
            mine[LAST_COL] = last_col
            st.last_val[pe] = last_val
            if final:
                mine[OUT_BYTES] += (made - began) * ELEMENT_BYTES
                row_counts[m] = made
                row_sums[m] += row_sum
            else:
                mine[MADE] = made
                mine[SPILL_BYTES] += (made - began) * ELEMENT_BYTES
                counts[SPILLED] += made - began
            if size == 0 and last_col < 0:
                if not final:
                    mine[RUNS_MADE] += 1
                    out_ptr[pe][mine[RUNS_MADE]] = made
                phase = START
    mine[PHASE] = phase
    mine[EVENTS] = n
    mine[TAIL] = gap
    counts[LOADS] = now
    counts[POPS] += pops
    counts[STEPS] += walked
    counts[ADDS] += adds
    return row_done


@kernel
def row_merge(
    shape: MergeArray,
    timing: DramTiming,
    op: Chunks,
    columns: int,
    out: Outcome,
    state: DramState,
    st: MergeRows,
    where: Ints,
    counts: Ints,
    tile_bins: Ints,
    channel_bins: Ints,
    shift: Ints,
    channel_shift: Ints,
    log: Ints,
) -> int:
    """Run the phase; return its cycles.

    ``out.row_sums`` [rows] receives each result row times :func:`column_weight`,
    ``out.row_counts`` [rows] its entries; where ``out.keep_ptr`` [rows + 1] is not empty the entries
    are stored from there. ``where`` [7, PEs] receives each PE's cycles by cause, ``counts`` [10] the
    work; ``log`` [n, 3] the first accesses to the private caches as (cache, block, hit).
    """
    servers = shape.tiles * shape.pes
    op = Chunks(
        borrow(op.row_ptr), borrow(op.first), borrow(op.length), borrow(op.scale), borrow(op.at),
        borrow(op.cols), borrow(op.vals), op.lists, op.pointers, op.result, op.spill, op.slice,
    )  # fmt: skip
    out = Outcome(
        borrow(out.row_sums), borrow(out.row_counts), borrow(out.keep_ptr), borrow(out.keep_cols), borrow(out.keep_vals)
    )
    st = MergeRows(
        borrow(st.pes), borrow(st.heads), borrow(st.stream), borrow(st.value), borrow(st.last_val), borrow(st.requests),
        borrow(st.cache),
    )  # fmt: skip
    state = DramState(
        borrow(state.bus), borrow(state.read_bus), borrow(state.open_row), borrow(state.bank_free),
        borrow(state.row_ready), borrow(state.counts),
    )  # fmt: skip
    counts, log = borrow(counts), borrow(log)
    row_ptr, pes, requests = op.row_ptr, st.pes, st.requests
    rows = len(row_ptr) - 1
    bits = bits_for(servers)
    tree = new_tree(servers, bits)
    finished = np.zeros(servers, np.int64)
    lcp = np.zeros(shape.tiles, np.int64)
    cache = st.cache
    groups = (shape.tiles + shape.tiles_per_l1 - 1) // shape.tiles_per_l1
    l1 = new_cache(groups, shape.l1_sets, shape.l1_ways)
    l1_fill = np.zeros(len(l1) // 2, np.int64)
    l1_mshr = np.zeros((groups, shape.l1_mshrs), np.int64)
    run_ptr = [np.empty(0, np.int64) for _ in range(servers)]
    run_cols = [np.empty(0, np.int32) for _ in range(servers)]
    run_vals = [np.empty(0, np.float64) for _ in range(servers)]
    out_ptr = [np.empty(0, np.int64) for _ in range(servers)]
    out_cols = [np.empty(0, np.int32) for _ in range(servers)]
    out_vals = [np.empty(0, np.float64) for _ in range(servers)]
    served = np.zeros(servers, np.int64)
    row_done = np.ones(servers, np.bool_)
    waiting = np.zeros(servers, np.bool_)
    pending = np.zeros(servers, np.int64)
    whole = 1 << (shape.block_bits - shape.burst_bits)
    unloaded = timing.latency + timing.activate
    l1_next = np.zeros(groups, np.int64)
    tile_of = np.arange(servers) // shape.pes
    group_of = tile_of // shape.tiles_per_l1
    next_row = 0
    pointers = 0
    stamp = 0

    while True:
        due = tree[1] >> bits
        now = due
        if now >= NEVER:
            break
        pe = tree[1] & ((1 << bits) - 1)
        tile = tile_of[pe]
        if waiting[pe]:
            # The request at hand is due now.
            i = served[pe]
            block = pending[pe] >> 1
            if pending[pe] & WRITE:
                taken = dram.write(block, whole, now, timing, state)
                record(channel_bins, channel_shift, dram.channel_of(block, timing), now, whole)
                where[BANDWIDTH, pe] += taken - now
                now = taken
            else:
                group = group_of[pe]
                set1 = set_start(group, shape.l1_sets, shape.l1_ways, block)
                second = shape.l1_sets > 0
                free = free_slot(l1_mshr, group, l1_next[group], now) if second else 0
                if free < 0 and probe(l1, set1, shape.l1_ways, block) < 0:
                    later = l1_mshr[group, -1 - free]
                    where[MSHR, pe] += later - now
                    replace(tree, bits, pe, later)
                    continue
                counts[MISSES] += 1
                stamp += 1
                line = touch(l1, set1, shape.l1_ways, block, stamp) if second else -1
                if line >= 0:
                    counts[L1_HITS] += 1
                    ready = max(now + shape.l1_latency, l1_fill[line])
                    where[LATENCY, pe] += ready - now
                else:
                    counts[L1_MISSES] += 1
                    ready = dram.read(block, whole, now, timing, state)
                    record(channel_bins, channel_shift, dram.channel_of(block, timing), now, whole)
                    if second:
                        l1_fill[-1 - line] = ready
                        l1_mshr[group, free] = ready
                        l1_next[group] = next_place(free, shape.l1_mshrs)
                    wait = max(0, ready - now - unloaded)
                    where[BANDWIDTH, pe] += wait
                    where[LATENCY, pe] += ready - now - wait
                now = ready
            served[pe] = i + 1
            waiting[pe] = False

        if served[pe] == pes[pe, EVENTS]:
            # Nothing left of what was run ahead: finish its tail, then the row's next stretch.
            tail = pes[pe, TAIL]
            pes[pe, TAIL] = 0
            where[COMPUTE, pe] += tail
            record(tile_bins, shift, tile, now, tail)
            now += tail
            if row_done[pe] and now > due:
                # Come back when the row is done, so that rows are taken, and memory sees the last
                # block, in order of time.
                replace(tree, bits, pe, now)
                continue
            if row_done[pe]:
                while next_row < rows and row_ptr[next_row + 1] == row_ptr[next_row]:
                    next_row += 1
                if next_row == rows:
                    end = op.result + pe * op.slice + pes[pe, OUT_BYTES]
                    part = end & ((1 << shape.block_bits) - 1)
                    if part > 0:
                        block = end >> shape.block_bits
                        bursts = ((part - 1) >> shape.burst_bits) + 1
                        dram.write(block, bursts, now, timing, state)
                        record(channel_bins, channel_shift, dram.channel_of(block, timing), now, bursts)
                    finished[pe] = now
                    replace(tree, bits, pe, NEVER)
                    continue
                start = max(lcp[tile], now)
                lcp[tile] = max(lcp[tile] + shape.dispatch, start)
                where[DISPATCH, pe] += start - now
                now = start
                # The central controller writes the result's row pointers as rows are handed out.
                while pointers <= next_row:
                    block = (op.pointers + pointers * LINK_BYTES) >> shape.block_bits
                    dram.write(block, whole, due, timing, state)
                    record(channel_bins, channel_shift, dram.channel_of(block, timing), due, whole)
                    pointers += (1 << shape.block_bits) // LINK_BYTES
                _foretell(next_row + ROWS_AHEAD, op)
                _start_row(pe, next_row, row_ptr[next_row], row_ptr[next_row + 1], shape.heads, pes)
                counts[ROWS] += 1
                # The row's list head: the first request of the row, if the PE's cache has it not.
                head = op.lists + next_row * HEAD_BYTES
                counts[LOADS], pes[pe, EVENTS], pes[pe, TAIL], _ = _load(
                    head, HEAD_BYTES, shape.block_bits, pe, shape.sets, shape.ways, shape.l0_latency, cache,
                    counts[LOADS], 0, 0, requests[pe], log,
                )  # fmt: skip
                next_row += 1
                row_done[pe] = False
            else:
                row_done[pe] = _advance(
                    pe, columns, op, out, shape, st, cache, counts, log,
                    run_ptr, run_cols, run_vals, out_ptr, out_cols, out_vals,
                )  # fmt: skip
            served[pe] = 0
        if served[pe] < pes[pe, EVENTS]:
            gap = requests[pe, 2 * served[pe]]
            pending[pe] = requests[pe, 2 * served[pe] + 1]
            where[COMPUTE, pe] += gap
            record(tile_bins, shift, tile, now, gap)
            now += gap
            waiting[pe] = True
        replace(tree, bits, pe, now)

    return close_phase(servers, finished, shape.begin, state, where)
