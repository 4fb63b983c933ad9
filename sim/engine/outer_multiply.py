"""The multiply phase of an outer-product machine: columns of A meet rows of B on tiles of PEs.

A central controller hands pieces of A's columns, in order, to whichever tile asks; the tile's
controller streams the piece's elements to its PEs as they free up, one *chunk* each: element A[m, k]
times row k of B, appended to the list of result row m. PEs of a tile share B's row through the
tile's cache; misses go through a second-level cache that several tiles share, then to DRAM. Chunks
are written around the caches. Linking a chunk into its row's list reads and rewrites the list's
head in memory, because the caches are not coherent; what it was is the chunk's own link. A PE goes on
meanwhile, up to ``links`` chunks whose link has not come.

Every PE works through the blocks of its B row: one request per block into a queue of outstanding
requests, data in order, one multiply per ``element`` cycles. A block keeps its place in the queue until
it has been multiplied, because that is where its data lie. Products that find the memory's write buffer
full hold the PE up. Events are taken in global time order, so each shared resource sees its requests in
order; of a cache that takes fewer lookups in a cycle than there are PEs, the lower numbers come first.

Dot products run on the same PEs: A is then a mask, an element A[m, k] meets row k of B *and* row m
of a second operand of equally long rows. The PE asks for the row that is behind, multiplies what is
there of both, adds up as it multiplies, and writes one element: nothing is linked.

The tile's controller prepares one element ahead: after a pause two can go at once. The bursts that
one block's products fill go out as one request, to the channel of the first.

A tile's first element goes out when the pointers and its part of A have come; from then on the
controllers read ahead and are not held up by what they read. But the central controller passes one
column of A in a cycle, empty ones too, and a tile's one element, those too that meet an empty row of
B: an element is prepared from when both have come to it. ``begin`` cycles a phase are the controllers'
own: to start, and to see that all is done.

What it does not model: crossbar conflicts, instruction fetch, the last add of a dot product, and how
the controller knows the place of a dot product's result.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from siloom.sim.engine import dram
from siloom.sim.engine.cache import new_cache, probe, set_start, touch
from siloom.sim.engine.dram import DramState, DramTiming
from siloom.sim.engine.timeline import record
from siloom.sim.engine.tournament import NEVER, bits_for, free_slot, new_tree, next_place, replace
from siloom.sim.jit import inline_kernel, kernel

Ints = NDArray[np.int64]

ELEMENT_BYTES = 12
"""A 32-bit index and a 64-bit value."""
LINK_BYTES = 4
"""The pointer that heads every chunk, and the head of every row's list (padded to 8)."""
HEAD_BYTES = 8

COMPUTE, DISPATCH, OUTSTANDING, MSHR, BANDWIDTH, LATENCY, IMBALANCE = range(7)
CAUSES = ("compute", "dispatch", "outstanding_requests", "mshr", "bandwidth", "memory_latency", "imbalance")
"""Where a PE's cycles go, in the order of the rows of ``where`` below."""

L0_HITS, L0_MISSES, L1_HITS, L1_MISSES, CHUNKS, PIECES = range(6)


class TileArray(NamedTuple):
    """Shape and times (cycles) of the tiles; ``l0_ports`` lookups a cycle; no second level where ``l1_sets`` is 0."""

    tiles: int
    pes: int
    tiles_per_l1: int
    l0_sets: int
    l0_ways: int
    l1_sets: int
    l1_ways: int
    block_bits: int
    burst_bits: int
    l0_mshrs: int
    l1_mshrs: int
    outstanding: int
    piece: int
    dispatch: int
    element: int
    l0_latency: int
    l1_latency: int
    l0_ports: int
    links: int
    begin: int


class OuterOperands(NamedTuple):
    """Structure of A by columns and of B by rows, and where things lie in memory (bytes).

    ``a_ptr``, ``b_ptr`` [k + 1]; ``a_rows`` [nnz(A)]; ``chunk_at`` [nnz(A)] the address of each
    chunk, or of each dot product's result; ``a_base``, ``b_base`` the first element of each operand,
    ``a_pointers``, ``b_pointers`` their pointer arrays (4 bytes each), ``lists`` the list heads;
    ``a_element`` the bytes of one element of A; ``second`` the first element of the second operand,
    whose rows are as long as B's. -1: B has no pointers, results are not linked into lists, there is
    no second operand.
    """

    a_ptr: Ints
    a_rows: Ints
    b_ptr: Ints
    chunk_at: Ints
    a_base: int
    b_base: int
    a_pointers: int
    b_pointers: int
    lists: int
    a_element: int = ELEMENT_BYTES
    second: int = -1


@kernel
def outer_multiply(
    shape: TileArray,
    timing: DramTiming,
    op: OuterOperands,
    state: DramState,
    where: Ints,
    counts: Ints,
    tile_bins: Ints,
    channel_bins: Ints,
    shift: Ints,
    channel_shift: Ints,
    log: Ints,
) -> int:
    """Run the phase; return its cycles.

    ``where`` [7, tiles * pes] receives each PE's cycles by cause, each row of PEs adding up to the
    return value; ``counts`` [6] the cache hits and misses, chunks and pieces; ``log`` [n, 3] the
    first n L0 accesses as (cache, block, hit). Bins as in :mod:`siloom.sim.engine.timeline`.
    """
    servers = shape.tiles * shape.pes
    bits = bits_for(servers)
    tree = new_tree(servers, bits)
    done = np.zeros(servers, np.int64)
    at = np.zeros(servers, np.int64)
    end = np.zeros(servers, np.int64)
    finished = np.zeros(servers, np.int64)
    row_start = np.zeros(servers, np.int64)
    chunk = np.zeros(servers, np.int64)
    following = np.zeros(servers, np.int64)
    partner = np.zeros(servers, np.int64)
    offset = np.zeros(servers, np.int64)
    linked = np.ones(servers, np.bool_)
    links = np.zeros((servers, shape.links), np.int64)
    link_turn = np.zeros(servers, np.int64)
    queued = np.zeros(servers, np.int64)
    blocked = np.zeros(servers, np.int64)
    ring = np.zeros((servers, shape.outstanding), np.int64)
    head = np.zeros(servers, np.int64)
    lcp = np.zeros(shape.tiles, np.int64)
    piece_at = np.zeros(shape.tiles, np.int64)
    piece_end = np.zeros(shape.tiles, np.int64)
    piece_k = np.zeros(shape.tiles, np.int64)
    a_block = np.full(shape.tiles, -1, np.int64)
    l1s = (shape.tiles + shape.tiles_per_l1 - 1) // shape.tiles_per_l1
    l0 = new_cache(shape.tiles, shape.l0_sets, shape.l0_ways)
    l1 = new_cache(l1s, shape.l1_sets, shape.l1_ways)
    l0_fill = np.zeros(len(l0) // 2, np.int64)
    l1_fill = np.zeros(len(l1) // 2, np.int64)
    l0_mshr = np.zeros((shape.tiles, shape.l0_mshrs), np.int64)
    l1_mshr = np.zeros((l1s, shape.l1_mshrs), np.int64)
    l0_next = np.zeros(shape.tiles, np.int64)
    l1_next = np.zeros(l1s, np.int64)
    looked_up = np.zeros(shape.tiles, np.int64)
    looked_at = np.zeros(shape.tiles, np.int64)
    begun = np.zeros(shape.tiles, np.bool_)
    passed = np.zeros(shape.tiles, np.int64)
    pointers_came = 0
    walk_begins = -1
    stamp = 0
    logged = 0
    tile_of = np.arange(servers) // shape.pes
    group_of = tile_of // shape.tiles_per_l1
    next_at = 0
    next_k = 0
    pointers = 0
    total = op.a_ptr[-1]
    whole = 1 << (shape.block_bits - shape.burst_bits)
    unloaded = timing.latency + timing.activate

    while True:
        now = tree[1] >> bits
        if now >= NEVER:
            break
        pe = tree[1] & ((1 << bits) - 1)
        tile = tile_of[pe]
        if at[pe] == end[pe]:
            # The PE is free, if it has room for another link: the tile's controller has an element of A
            # for it, or asks for a piece.
            came = links[pe, link_turn[pe]]
            if came > now:
                where[LATENCY, pe] += came - now
                replace(tree, bits, pe, came)
                continue
            came = 0
            while piece_at[tile] == piece_end[tile] and next_at < total:
                while op.a_ptr[next_k + 1] <= next_at:
                    next_k += 1
                # The central controller reads the pointers of both operands as it comes by.
                while pointers <= next_k:
                    for base in (op.a_pointers, op.b_pointers):
                        if base < 0:
                            continue
                        block = (base + pointers * LINK_BYTES) >> shape.block_bits
                        pointers_came = max(pointers_came, dram.read(block, whole, now, timing, state))
                        record(channel_bins, channel_shift, dram.channel_of(block, timing), now, whole)
                    pointers += (1 << shape.block_bits) // LINK_BYTES
                if walk_begins < 0:
                    walk_begins = pointers_came
                stop = min(next_at + shape.piece, op.a_ptr[next_k + 1])
                first = (op.a_base + next_at * op.a_element) >> shape.block_bits
                last = (op.a_base + stop * op.a_element - 1) >> shape.block_bits
                for block in range(first, last + 1):
                    if block != a_block[tile]:
                        came = max(came, dram.read(block, whole, now, timing, state))
                        record(channel_bins, channel_shift, dram.channel_of(block, timing), now, whole)
                a_block[tile] = last
                if op.b_ptr[next_k + 1] > op.b_ptr[next_k]:
                    piece_at[tile] = next_at
                    piece_end[tile] = stop
                    piece_k[tile] = next_k
                    counts[PIECES] += 1
                else:
                    passed[tile] += stop - next_at
                next_at = stop
            if piece_at[tile] == piece_end[tile]:
                # A chunk is not whole before its link has come.
                for i in range(shape.links):
                    finished[pe] = max(finished[pe], links[pe, i])
                finished[pe] = max(finished[pe], now)
                where[LATENCY, pe] += finished[pe] - now
                replace(tree, bits, pe, NEVER)
                continue
            k = piece_k[tile]
            found = walk_begins + max(k, passed[tile])
            passed[tile] += 1
            if begun[tile]:
                lcp[tile] = max(lcp[tile], found + shape.dispatch)
            else:
                begun[tile] = True
                lcp[tile] = max(came, pointers_came, found)
            start = max(lcp[tile], now)
            lcp[tile] = max(lcp[tile] + shape.dispatch, start)
            where[DISPATCH, pe] += start - now
            chunk[pe] = piece_at[tile]
            piece_at[tile] += 1
            at[pe] = op.b_ptr[k]
            row_start[pe] = op.b_ptr[k]
            end[pe] = op.b_ptr[k + 1]
            following[pe] = (op.b_base + at[pe] * ELEMENT_BYTES) >> shape.block_bits
            linked[pe] = op.lists < 0
            if op.second >= 0:
                # Element e of this row of B meets element e + offset of the second operand.
                offset[pe] = op.a_rows[chunk[pe]] * (end[pe] - at[pe]) - at[pe]
                partner[pe] = (op.second + (at[pe] + offset[pe]) * ELEMENT_BYTES) >> shape.block_bits
            done[pe] = start
            counts[CHUNKS] += 1
            if start > now:
                # Come back at the start itself, so that memory sees requests in order of time.
                replace(tree, bits, pe, start)
                continue
        if not linked[pe]:
            linked[pe] = True
            link = (op.lists + op.a_rows[chunk[pe]] * HEAD_BYTES) >> shape.block_bits
            links[pe, link_turn[pe]] = dram.read(link, 1, now, timing, state)
            link_turn[pe] = next_place(link_turn[pe], shape.links)
            dram.write(link, 1, now, timing, state)
            record(channel_bins, channel_shift, dram.channel_of(link, timing), now, 2)

        # A place in the PE's queue of outstanding requests, and an MSHR at each level that misses.
        slot = head[pe]
        if ring[pe, slot] > now:
            queued[pe] += ring[pe, slot] - now
            replace(tree, bits, pe, ring[pe, slot])
            continue
        block = following[pe]
        behind = False
        if op.second >= 0:
            reached = _whole_before(partner[pe], op.second, shape.block_bits) - offset[pe]
            behind = max(at[pe], reached) < _whole_before(block, op.b_base, shape.block_bits)
            if behind:
                block = partner[pe]
        if looked_at[tile] != now:
            looked_at[tile] = now
            looked_up[tile] = 0
        if looked_up[tile] == shape.l0_ports:
            replace(tree, bits, pe, now + 1)
            continue
        looked_up[tile] += 1
        set0 = set_start(tile, shape.l0_sets, shape.l0_ways, block)
        line = probe(l0, set0, shape.l0_ways, block)
        bus_wait = 0
        if line < 0:
            group = group_of[pe]
            set1 = set_start(group, shape.l1_sets, shape.l1_ways, block)
            wait = now
            free0 = free_slot(l0_mshr, tile, l0_next[tile], now)
            if free0 < 0:
                wait = l0_mshr[tile, -1 - free0]
            free1 = 0
            if shape.l1_sets > 0 and probe(l1, set1, shape.l1_ways, block) < 0:
                free1 = free_slot(l1_mshr, group, l1_next[group], now)
                if free1 < 0:
                    wait = max(wait, l1_mshr[group, -1 - free1])
            if wait > now:
                blocked[pe] += wait - now
                replace(tree, bits, pe, wait)
                continue
            stamp += 1
            line1 = touch(l1, set1, shape.l1_ways, block, stamp) if shape.l1_sets > 0 else -1
            if line1 >= 0:
                counts[L1_HITS] += 1
                ready = max(now + shape.l0_latency + shape.l1_latency, l1_fill[line1])
            else:
                counts[L1_MISSES] += 1
                ready = dram.read(block, whole, now, timing, state)
                record(channel_bins, channel_shift, dram.channel_of(block, timing), now, whole)
                bus_wait = max(0, ready - now - unloaded)
                if shape.l1_sets > 0:
                    l1_fill[-1 - line1] = ready
                    l1_mshr[group, free1] = ready
                    l1_next[group] = next_place(free1, shape.l1_mshrs)
            line = touch(l0, set0, shape.l0_ways, block, stamp)
            l0_fill[-1 - line] = ready
            l0_mshr[tile, free0] = ready
            l0_next[tile] = next_place(free0, shape.l0_mshrs)
            counts[L0_MISSES] += 1
            hit = 0
        else:
            stamp += 1
            touch(l0, set0, shape.l0_ways, block, stamp)
            ready = max(now + shape.l0_latency, l0_fill[line])
            counts[L0_HITS] += 1
            hit = 1
        if logged < log.shape[0]:
            log[logged, 0] = tile
            log[logged, 1] = block
            log[logged, 2] = hit
            logged += 1

        # All elements whose last byte has been asked for can be multiplied once this block is here.
        if behind:
            partner[pe] = block + 1
        else:
            following[pe] = block + 1
        upto = min(_whole_before(following[pe], op.b_base, shape.block_bits), end[pe])
        if op.second >= 0:
            reached = _whole_before(partner[pe], op.second, shape.block_bits) - offset[pe]
            upto = max(at[pe], min(upto, reached))
        elements = upto - at[pe]
        begin = max(done[pe], ready)
        waited = begin - done[pe]
        part = min(waited, bus_wait)
        where[BANDWIDTH, pe] += part
        waited -= part
        part = min(waited, blocked[pe])
        where[MSHR, pe] += part
        waited -= part
        part = min(waited, queued[pe])
        where[OUTSTANDING, pe] += part
        where[LATENCY, pe] += waited - part
        queued[pe] = 0
        blocked[pe] = 0
        work = elements * shape.element
        where[COMPUTE, pe] += work
        done[pe] = begin + work
        record(tile_bins, shift, tile, now, work)

        low = op.chunk_at[chunk[pe]]
        if op.second >= 0:
            # Store the sum, whole, when its last products have been issued.
            first_burst = low >> shape.burst_bits
            bursts = ((low + ELEMENT_BYTES - 1) >> shape.burst_bits) - first_burst + 1
            bursts = bursts if upto == end[pe] else 0
        else:
            # Store the products: the bursts of the chunk that this block's products begin to fill.
            before = at[pe] - row_start[pe]
            high = low + LINK_BYTES + (before + elements) * ELEMENT_BYTES
            low += before * ELEMENT_BYTES
            if before > 0:
                low += LINK_BYTES
            first_burst = low >> shape.burst_bits
            if before > 0 and low & ((1 << shape.burst_bits) - 1) != 0:
                first_burst += 1
            bursts = ((high - 1) >> shape.burst_bits) - first_burst + 1
        if elements > 0 and bursts > 0:
            target = first_burst >> (shape.block_bits - shape.burst_bits)
            taken = dram.write(target, bursts, now, timing, state)
            record(channel_bins, channel_shift, dram.channel_of(target, timing), now, bursts)
            if taken > done[pe]:
                where[BANDWIDTH, pe] += taken - done[pe]
                done[pe] = taken
        ring[pe, slot] = done[pe]
        head[pe] = next_place(slot, shape.outstanding)
        at[pe] = upto
        replace(tree, bits, pe, max(now + max(elements, 1), done[pe] if upto == end[pe] else 0))

    return close_phase(servers, finished, shape.begin, state, where)


@inline_kernel
def _whole_before(block: int, base: int, block_bits: int) -> int:
    """Elements of an operand at ``base`` that end before ``block`` begins."""
    return ((block << block_bits) - base) // ELEMENT_BYTES


@inline_kernel
def close_phase(servers: int, finished: Ints, begin: int, state: DramState, where: Ints) -> int:
    """End the phase when the last PE is done and the memory has drained, and ``begin`` cycles later; account for it."""
    last = 0
    for pe in range(servers):
        last = max(last, finished[pe])
    drained = last
    for channel in range(len(state.bus)):
        drained = max(drained, int(np.ceil(state.bus[channel])))
    begin = begin if drained > 0 else 0  # with nothing to do there is no phase
    for pe in range(servers):
        where[IMBALANCE, pe] += last - finished[pe]
        where[BANDWIDTH, pe] += drained - last
        where[DISPATCH, pe] += begin
    return drained + begin
