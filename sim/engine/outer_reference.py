"""The outer-product machine in plain Python: what :mod:`.outer_multiply` and :mod:`.row_merge` must equal.

The same machine by other means: every PE is a generator that yields the cycle at which it wants to
go on, a heap takes the PEs in order of (cycle, number), a cache set is a dict in order of recency, a
merge list is a Python list. Nothing is packed, run ahead or sized beforehand, so this file is the
place to read what the two phases mean; it is some thousand times slower than they are.

What the kernels' docstrings leave open is fixed here, each at its line: what a request that does
not fit does, who goes first at equal cycles, to which cause an idle cycle is booked.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import ceil

from siloom.sim.engine.dram import DramTiming
from siloom.sim.engine.outer_multiply import ELEMENT_BYTES, HEAD_BYTES, LINK_BYTES, OuterOperands, TileArray
from siloom.sim.engine.row_merge import Chunks, MergeArray

Process = Iterator[int]
"""A PE at work: yields the cycle at which it must be woken; has nothing to do before it."""


@dataclass
class ReferenceRun:
    """What one phase did: PE cycles by cause, work and memory events by name, cache accesses.

    ``where`` and ``counts`` use the kernels' names in lower case. ``log`` holds every access to the
    caches nearest to the PEs as (cache, block, hit): in order of time where PEs share a cache (the
    multiply phase), PE after PE where each has its own (the merge phase).
    """

    cycles: int
    where: list[Counter[str]]
    counts: Counter[str]
    dram: Counter[str]
    log: list[tuple[int, int, bool]]


@dataclass
class ReferenceProduct:
    """The merged rows: (column, value) in order of columns, values as the hardware adds them up."""

    rows: list[list[tuple[int, float]]]


class LruCache:
    """A set-associative cache that knows when each block it holds is really there."""

    def __init__(self, sets: int, ways: int) -> None:
        self.ways = ways
        self.sets: list[OrderedDict[int, int]] = [OrderedDict() for _ in range(sets)]

    def _set(self, block: int) -> OrderedDict[int, int]:
        return self.sets[block % len(self.sets)]

    def __contains__(self, block: int) -> bool:
        return block in self._set(block)

    def use(self, block: int) -> int:
        """Make a held block most recently used; return the cycle its data are there."""
        self._set(block).move_to_end(block)
        return self._set(block)[block]

    def fill(self, block: int, ready: int) -> None:
        """Take in a block whose data come at ``ready``, in the place of the least recently used."""
        lines = self._set(block)
        if len(lines) == self.ways:
            lines.popitem(last=False)
        lines[block] = ready


class MissRegisters:
    """The MSHRs of a cache: each is taken until its block is there."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.until: list[int] = []

    def free_at(self, now: int) -> int:
        """The first cycle from ``now`` on at which one is free."""
        while self.until and self.until[0] <= now:
            heappop(self.until)
        return now if len(self.until) < self.count else self.until[0]

    def take(self, until: int) -> None:
        """Occupy one; :meth:`free_at` has said that it is free."""
        heappush(self.until, until)


@dataclass
class Bank:
    """One DRAM bank: its open row, when that row's columns can be moved, when another may open."""

    row: int = -1
    ready: int = 0
    free: int = 0


@dataclass
class Channel:
    """One DRAM channel: until when its bus is promised, to anyone and to reads."""

    promised: float = 0.0
    promised_to_reads: float = 0.0
    banks: dict[int, Bank] = field(default_factory=dict)


class Memory:
    """DRAM as :mod:`.dram` describes it."""

    def __init__(self, timing: DramTiming) -> None:
        self.timing = timing
        self.channels = [Channel() for _ in range(2**timing.channel_bits)]
        self.counts: Counter[str] = Counter()

    def _arrive(self, block: int, cycle: int) -> tuple[Channel, int, int]:
        """The block's channel, when the request is taken up, and when its row is open."""
        timing = self.timing
        cycle = int(self._outside_refresh(cycle))
        channel = self.channels[block % len(self.channels)]
        row = block // len(self.channels) // 2**timing.row_bits
        bank = channel.banks.setdefault(row % 2**timing.bank_bits, Bank())
        if bank.row == row:
            self.counts["row_hits"] += 1
        else:
            self.counts["row_misses"] += 1
            opened = max(cycle, bank.free)
            bank.row, bank.ready, bank.free = row, opened + timing.activate, opened + timing.row_cycle
        return channel, cycle, max(cycle, bank.ready)

    def _outside_refresh(self, cycle: float) -> float:
        """Return ``cycle``, or the end of the refresh it falls into.

        All channels refresh at every multiple of the interval, except at the very start.
        """
        timing = self.timing
        if not timing.refresh or cycle < timing.refresh_interval:
            return cycle
        begun = int(cycle) // timing.refresh_interval * timing.refresh_interval
        return begun + timing.refresh if int(cycle) < begun + timing.refresh else cycle

    def read(self, block: int, bursts: int, cycle: int) -> int:
        """Return the cycle the data are back."""
        channel, begin, ready = self._arrive(block, cycle)
        moved = bursts * self.timing.burst
        # Writes promised before stand aside, down to what the write buffer holds.
        start = max(begin, channel.promised_to_reads, channel.promised - self.timing.write_buffer)
        start = self._outside_refresh(start)
        channel.promised_to_reads = start + moved
        channel.promised = self._outside_refresh(max(channel.promised, begin)) + moved
        self.counts["read_bursts"] += bursts
        self.counts["bus_wait"] += int(start) - begin
        self.counts["bank_wait"] += max(0, ready - int(start))
        return ceil(max(start, ready) + moved) + self.timing.latency

    def write(self, block: int, bursts: int, cycle: int) -> int:
        """Return the cycle the write buffer has taken it all."""
        channel, begin, _ = self._arrive(block, cycle)
        channel.promised = self._outside_refresh(max(channel.promised, begin)) + bursts * self.timing.burst
        self.counts["write_bursts"] += bursts
        return max(cycle, ceil(channel.promised - self.timing.write_buffer))

    def drained(self) -> int:
        """The cycle the last burst has left the pins."""
        return ceil(max(channel.promised for channel in self.channels))


class TileController:
    """Hands work to its PEs.

    It needs ``dispatch`` cycles to prepare a unit, the first excepted, and prepares one while the
    unit before waits to be taken: two units can go at once after a pause, never more.
    """

    def __init__(self, dispatch: int) -> None:
        self.dispatch = dispatch
        self.prepared = 0

    def begin(self, came: int) -> None:
        """The first unit is prepared when what it needs has come from memory."""
        self.prepared = came

    def find(self, cycle: int) -> None:
        """What the next unit is, is found in this cycle: it is prepared from then on at the earliest."""
        self.prepared = max(self.prepared, cycle + self.dispatch)

    def hand_out(self, now: int) -> int:
        """The cycle at which a PE that asks at ``now`` has its work."""
        start = max(self.prepared, now)
        self.prepared = max(self.prepared + self.dispatch, start)
        return start


def simulate(processes: Sequence[Process]) -> list[int]:
    """Run all PEs in order of time, the lower number first at equal cycles; return their ends."""
    agenda = [(0, pe) for pe in range(len(processes))]
    ends = [0] * len(processes)
    while agenda:
        now, pe = heappop(agenda)
        ends[pe] = now
        later = next(processes[pe], None)
        if later is not None:
            heappush(agenda, (later, pe))
    return ends


def _finish(
    processes: Sequence[Process],
    memory: Memory,
    where: list[Counter[str]],
    counts: Counter[str],
    log: list[tuple[int, int, bool]],
    begin: int,
) -> ReferenceRun:
    """Run the phase: it ends when every PE is done, the memory has drained, and ``begin`` cycles later."""
    ends = simulate(processes)
    last = max(ends)
    drained = max(last, memory.drained())
    begin = begin if drained else 0  # with nothing to do there is no phase
    for end, causes in zip(ends, where, strict=True):
        causes["imbalance"] += last - end
        causes["bandwidth"] += drained - last
        causes["dispatch"] += begin
    return ReferenceRun(drained + begin, where, counts, memory.counts, log)


@dataclass
class Row:
    """A row of an operand on its way to a PE: ``length`` elements from byte ``at`` on, block by block."""

    at: int
    length: int
    size: int
    """Bytes of a block."""

    def __post_init__(self) -> None:
        """The row is read from the block that holds its first byte."""
        self.block = self.at // self.size

    @property
    def whole(self) -> int:
        """Elements whose last byte is in a block that has been asked for."""
        return min(max(0, (self.block * self.size - self.at) // ELEMENT_BYTES), self.length)


class Ports:
    """The lookups that a cache takes in one cycle."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.cycle = -1
        self.taken = 0

    def take(self, now: int) -> bool:
        """Look up now, if another lookup is possible in this cycle."""
        if self.cycle != now:
            self.cycle, self.taken = now, 0
        self.taken += 1
        return self.taken <= self.count


class MultiplyMachine:
    """What the PEs of the multiply phase share."""

    def __init__(self, shape: TileArray, timing: DramTiming, op: OuterOperands) -> None:
        self.shape, self.op, self.memory = shape, op, Memory(timing)
        self.block, self.burst = 2**shape.block_bits, 2**shape.burst_bits
        self.unloaded = timing.latency + timing.activate
        groups = -(-shape.tiles // shape.tiles_per_l1)
        self.controllers = [TileController(shape.dispatch) for _ in range(shape.tiles)]
        self.l0 = [LruCache(shape.l0_sets, shape.l0_ways) for _ in range(shape.tiles)]
        self.ports = [Ports(shape.l0_ports) for _ in range(shape.tiles)]
        self.l1 = [LruCache(shape.l1_sets, shape.l1_ways) for _ in range(groups)] if shape.l1_sets else []
        self.l0_misses = [MissRegisters(shape.l0_mshrs) for _ in range(shape.tiles)]
        self.l1_misses = [MissRegisters(shape.l1_mshrs) for _ in range(groups)]
        self.counts: Counter[str] = Counter()
        self.log: list[tuple[int, int, bool]] = []
        self.where: list[Counter[str]] = [Counter() for _ in range(shape.tiles * shape.pes)]
        self.pieces = self._pieces()
        self.elements = [self._elements(controller) for controller in self.controllers]
        self.now = 0
        self.pointers_came = 0
        self.walk_begins: int | None = None

    def _pieces(self) -> Iterator[tuple[int, int, int]]:
        """The central controller's (column, first, end): A's columns in order, cut into pieces.

        It reads the pointers of both operands, a block of each at a time, as far as it has come. An
        operand whose rows are equally long has none.
        """
        pointers = 0
        arrays = [base for base in (self.op.a_pointers, self.op.b_pointers) if base != -1]
        for k in range(len(self.op.a_ptr) - 1):
            end = int(self.op.a_ptr[k + 1])
            for first in range(int(self.op.a_ptr[k]), end, self.shape.piece):
                while pointers <= k:
                    for base in arrays:
                        block = (base + pointers * LINK_BYTES) // self.block
                        came = self.memory.read(block, self.block // self.burst, self.now)
                        self.pointers_came = max(self.pointers_came, came)
                    pointers += self.block // LINK_BYTES
                if self.walk_begins is None:
                    self.walk_begins = self.pointers_came
                yield k, first, min(first + self.shape.piece, end)

    def _elements(self, controller: TileController) -> Iterator[tuple[int, int]]:
        """A tile's (non-zero of A, column): it asks for a piece when it has none left.

        The piece is read from memory while the tile goes on, but for the first one; the block that the
        piece before ended in is still at hand. A piece that meets an empty row of B makes no work, but
        is passed, an element in a cycle; and column k has not been found before the k-th cycle.
        """
        held = -1
        passed = 0
        came = 0
        begun = False
        for k, first, end in self.pieces:
            low = (self.op.a_base + first * self.op.a_element) // self.block
            high = (self.op.a_base + end * self.op.a_element - 1) // self.block
            for block in range(low, high + 1):
                if block != held:
                    came = max(came, self.memory.read(block, self.block // self.burst, self.now))
            held = high
            if self.op.b_ptr[k + 1] == self.op.b_ptr[k]:
                passed += end - first
                continue
            assert self.walk_begins is not None
            self.counts["pieces"] += 1
            for element in range(first, end):
                found = self.walk_begins + max(k, passed)
                if begun:
                    controller.find(found)
                else:
                    controller.begin(max(came, self.pointers_came, found))
                    begun = True
                passed += 1
                yield element, k

    def fetch(self, tile: int, block: int, now: int) -> tuple[int, int] | int:
        """Ask for a block of B: (ready, cycles that it waited for a loaded memory).

        Where the miss finds no MSHR nothing happens: the cycle to try again.
        """
        shape = self.shape
        l0, l1 = self.l0[tile], self.l1[tile // shape.tiles_per_l1] if self.l1 else None
        if block in l0:
            self.counts["l0_hits"] += 1
            self.log.append((tile, block, True))
            return max(now + shape.l0_latency, l0.use(block)), 0
        mine, shared = self.l0_misses[tile], self.l1_misses[tile // shape.tiles_per_l1]
        retry = mine.free_at(now)
        if l1 is not None and block not in l1:
            retry = max(retry, shared.free_at(now))
        if retry > now:
            return retry
        waited = 0
        if l1 is not None and block in l1:
            self.counts["l1_hits"] += 1
            ready = max(now + shape.l0_latency + shape.l1_latency, l1.use(block))
        else:
            self.counts["l1_misses"] += 1
            ready = self.memory.read(block, self.block // self.burst, now)
            waited = max(0, ready - now - self.unloaded)
            if l1 is not None:
                l1.fill(block, ready)
                shared.take(ready)
        self.counts["l0_misses"] += 1
        self.log.append((tile, block, False))
        l0.fill(block, ready)
        mine.take(ready)
        return ready, waited

    def rows(self, element: int, k: int) -> list[Row]:
        """What element A[m, k] meets: row k of B, and row m of the second operand if there is one."""
        op, begin = self.op, int(self.op.b_ptr[k])
        length = int(op.b_ptr[k + 1]) - begin
        met = [Row(op.b_base + begin * ELEMENT_BYTES, length, self.block)]
        if op.second != -1:
            m = int(op.a_rows[element])
            met.append(Row(op.second + m * length * ELEMENT_BYTES, length, self.block))
        return met

    def link(self, element: int, now: int) -> int:
        """Link a chunk into its row's list: read the head and write it back, at once; returns when it has come."""
        if self.op.lists == -1:
            return 0
        head = (self.op.lists + int(self.op.a_rows[element]) * HEAD_BYTES) // self.block
        came = self.memory.read(head, 1, now)
        self.memory.write(head, 1, now)
        return came

    def store_sum(self, element: int, now: int) -> int:
        """Write a dot product: every burst that its element lies in; as :meth:`store`."""
        at = int(self.op.chunk_at[element])
        touched = {byte // self.burst for byte in range(at, at + ELEMENT_BYTES)}
        return self.memory.write(at // self.block, len(touched), now)

    def store(self, element: int, begin: int, end: int, now: int) -> int | None:
        """Write products ``begin .. end`` of a chunk: the bursts that they are the first to touch.

        The chunk's link goes with its first products. All bursts go to the channel of the first.
        Returns when the write buffer has taken them, None where there was nothing to write.
        """
        at = int(self.op.chunk_at[element])
        until = at + LINK_BYTES + end * ELEMENT_BYTES
        low = at // self.burst if begin == 0 else -(-(at + LINK_BYTES + begin * ELEMENT_BYTES) // self.burst)
        bursts = (until - 1) // self.burst + 1 - low
        if end == begin or bursts == 0:
            return None
        return self.memory.write(low * self.burst // self.block, bursts, now)

    def pe(self, number: int) -> Process:
        """One PE: a chunk, or a dot product, at a time, block by block of the rows that it needs."""
        shape, op, where = self.shape, self.op, self.where[number]
        tile = number // shape.pes
        # The outstanding requests take the places of a ring in turn; each place is taken until:
        places = [0] * shape.outstanding
        turn = 0
        now = 0
        links = [0] * shape.links
        chunks = 0
        while True:
            if links[chunks % shape.links] > now:
                where["memory_latency"] += links[chunks % shape.links] - now
                now = links[chunks % shape.links]
                yield now
            self.now = now
            work = next(self.elements[tile], None)
            if work is None:
                # A chunk is not whole before its link has come.
                where["memory_latency"] += max(*links, now) - now
                yield max(*links, now)
                return
            element, k = work
            self.counts["chunks"] += 1
            start = self.controllers[tile].hand_out(now)
            where["dispatch"] += start - now
            if start > now:
                yield start
            now = done = start
            links[chunks % shape.links] = self.link(element, now)
            chunks += 1

            rows = self.rows(element, k)
            at, length = 0, rows[0].length
            while at < length:
                # The row that is behind goes on, the row of B where they are level.
                row = min(rows, key=lambda row: row.whole)
                queued = blocked = 0
                if places[turn] > now:
                    queued = places[turn] - now
                    now = places[turn]
                    yield now
                while True:
                    while not self.ports[tile].take(now):
                        now += 1
                        yield now
                    answer = self.fetch(tile, row.block, now)
                    if not isinstance(answer, int):
                        break
                    blocked += answer - now
                    now = answer
                    yield now
                ready, loaded = answer

                # Elements that have been asked for to their last byte can be multiplied once it is there.
                row.block += 1
                upto = min(row.whole for row in rows)
                idle = max(0, ready - done)
                for cause, most in (("bandwidth", loaded), ("mshr", blocked), ("outstanding_requests", queued)):
                    part = min(idle, most)
                    where[cause] += part
                    idle -= part
                where["memory_latency"] += idle
                where["compute"] += (upto - at) * shape.element
                done = max(done, ready) + (upto - at) * shape.element

                # Products wait for room in the write buffer, and with them all that comes behind.
                if op.second == -1:
                    taken = self.store(element, at, upto, now)
                else:
                    taken = self.store_sum(element, now) if upto == length else None
                if taken is not None:
                    where["bandwidth"] += max(0, taken - done)
                    done = max(done, taken)
                # The block's data lie in its place until they have been multiplied.
                places[turn] = done
                turn = (turn + 1) % shape.outstanding
                # The next block is asked for when this one's products have been issued.
                now += max(upto - at, 1)
                at = upto
                if at == length:
                    now = max(now, done)
                yield now

    def run(self) -> ReferenceRun:
        """The phase from idle hardware to drained memory."""
        processes = [self.pe(number) for number in range(len(self.where))]
        return _finish(processes, self.memory, self.where, self.counts, self.log, self.shape.begin)


def multiply(shape: TileArray, timing: DramTiming, op: OuterOperands) -> ReferenceRun:
    """The multiply phase; the reference of :func:`.outer_multiply.outer_multiply`."""
    return MultiplyMachine(shape, timing, op).run()


@dataclass
class Stream:
    """A sorted list in memory: element i lies at byte ``at + i * ELEMENT_BYTES``, its link before it."""

    elements: list[tuple[int, float]]
    at: int
    link: int


COMPUTE, READ, WRITE = "compute", "read", "write"
Action = tuple[str, int]
"""Compute for some cycles, or read or write a block."""


class MergePe:
    """One merging PE: its private cache, and where its results and its rounds go."""

    def __init__(self, number: int, shape: MergeArray, op: Chunks, counts: Counter[str]) -> None:
        self.number, self.shape, self.op, self.counts = number, shape, op, counts
        self.block = 2**shape.block_bits
        self.cache = LruCache(shape.sets, shape.ways)
        self.log: list[tuple[int, int, bool]] = []
        self.result = int(op.result + number * op.slice)
        self.spill = int(op.spill + number * op.slice)

    def load(self, low: int, size: int) -> Iterator[Action]:
        """Bytes ``low .. low + size`` through the cache."""
        for block in range(low // self.block, (low + size - 1) // self.block + 1):
            hit = block in self.cache
            self.counts["loads"] += 1
            self.log.append((self.number, block, hit))
            if hit:
                self.cache.use(block)
                yield COMPUTE, self.shape.l0_latency
            else:
                self.cache.fill(block, 0)
                yield READ, block

    def store(self, at: int) -> Iterator[Action]:
        """An element is put at byte ``at``; memory sees a block when it is full."""
        if at // self.block != (at + ELEMENT_BYTES) // self.block:
            yield WRITE, at // self.block

    def merge(self, streams: list[Stream], base: int) -> Iterator[Action]:
        """Merge into memory from ``base`` on; ``self.merged`` is what came out."""
        heads: list[tuple[int, int]] = []
        taken = [0] * len(streams)
        self.merged: list[tuple[int, float]] = []
        self.counts["rounds"] += 1

        def insert(s: int, least: int = 0) -> Action:
            """Walk from the front over all smaller columns; equal ones stay behind the new head."""
            column = streams[s].elements[taken[s]][0]
            walked = bisect_left(heads, column, key=lambda head: head[0])
            heads.insert(walked, (column, s))
            self.counts["steps"] += walked
            return COMPUTE, max(walked * self.shape.step, least)

        for s, stream in enumerate(streams):
            yield from self.load(stream.at - stream.link, stream.link + ELEMENT_BYTES)
            # After the last one popping begins at once; any other takes a cycle at least.
            yield insert(s, least=int(s < len(streams) - 1))
        while heads:
            column, s = heads.pop(0)
            stream = streams[s]
            if self.merged and self.merged[-1][0] == column:
                self.counts["adds"] += 1
                yield COMPUTE, self.shape.add
            else:
                if self.merged:
                    yield from self.store(base + (len(self.merged) - 1) * ELEMENT_BYTES)
                self.merged.append((column, 0.0))
            self.merged[-1] = column, self.merged[-1][1] + stream.elements[taken[s]][1]
            self.counts["pops"] += 1
            yield COMPUTE, self.shape.element
            taken[s] += 1
            if taken[s] < len(stream.elements):
                yield from self.load(stream.at + taken[s] * ELEMENT_BYTES, ELEMENT_BYTES)
                yield insert(s)
        yield from self.store(base + (len(self.merged) - 1) * ELEMENT_BYTES)

    def row(self, m: int) -> Iterator[Action]:
        """All of a row: its list's head, rounds as long as there are more lists than heads, the row."""
        op, most = self.op, self.shape.heads
        self.counts["rows"] += 1
        yield from self.load(op.lists + m * HEAD_BYTES, HEAD_BYTES)
        streams = []
        for c in range(int(op.row_ptr[m]), int(op.row_ptr[m + 1])):
            span = slice(int(op.first[c]), int(op.first[c] + op.length[c]))
            values = (float(op.scale[c]) * float(value) for value in op.vals[span])
            elements = list(zip(map(int, op.cols[span]), values, strict=True))
            streams.append(Stream(elements, int(op.at[c]) + LINK_BYTES, LINK_BYTES))
        while len(streams) > most:
            # The cache may hold what was in the last block before: a level does not begin in it.
            self.spill = -(-self.spill // self.block) * self.block
            runs = []
            for first in range(0, len(streams), most):
                yield from self.merge(streams[first : first + most], self.spill)
                runs.append(Stream(self.merged, self.spill, 0))
                self.spill += len(self.merged) * ELEMENT_BYTES
                self.counts["spilled"] += len(self.merged)
            streams = runs
        yield from self.merge(streams, self.result)
        self.result += len(self.merged) * ELEMENT_BYTES


class MergeMachine:
    """What the PEs of the merge phase share."""

    def __init__(self, shape: MergeArray, timing: DramTiming, op: Chunks) -> None:
        self.shape, self.op, self.memory = shape, op, Memory(timing)
        self.block, self.burst = 2**shape.block_bits, 2**shape.burst_bits
        self.unloaded = timing.latency + timing.activate
        groups = -(-shape.tiles // shape.tiles_per_l1)
        self.controllers = [TileController(shape.dispatch) for _ in range(shape.tiles)]
        self.l1 = [LruCache(shape.l1_sets, shape.l1_ways) for _ in range(groups)] if shape.l1_sets else []
        self.misses = [MissRegisters(shape.l1_mshrs) for _ in range(groups)]
        self.counts: Counter[str] = Counter()
        self.where: list[Counter[str]] = [Counter() for _ in range(shape.tiles * shape.pes)]
        self.pes = [MergePe(number, shape, op, self.counts) for number in range(len(self.where))]
        self.rows: list[list[tuple[int, float]]] = [[] for _ in op.row_ptr[1:]]
        self.waiting = self._waiting()
        self.now = 0

    def _waiting(self) -> Iterator[int]:
        """Rows in order; those without chunks are nobody's work.

        The central controller writes the result's row pointers, a block at a time, as far as it
        has come; it does so when it is asked, not when the tile hands the row on.
        """
        pointers = 0
        for m in range(len(self.rows)):
            if self.op.row_ptr[m + 1] > self.op.row_ptr[m]:
                while pointers <= m:
                    block = (self.op.pointers + pointers * LINK_BYTES) // self.block
                    self.memory.write(block, self.block // self.burst, self.now)
                    pointers += self.block // LINK_BYTES
                yield m

    def _read(self, pe: int, block: int, now: int) -> Iterator[int]:
        """A miss of the PE's cache: through L1 to memory; the last cycle yielded is the data's."""
        where = self.where[pe]
        group = pe // self.shape.pes // self.shape.tiles_per_l1
        l1, misses = self.l1[group] if self.l1 else None, self.misses[group]
        while l1 is not None and block not in l1 and (retry := misses.free_at(now)) > now:
            where["mshr"] += retry - now
            now = retry
            yield now
        self.counts["misses"] += 1
        if l1 is not None and block in l1:
            self.counts["l1_hits"] += 1
            ready = max(now + self.shape.l1_latency, l1.use(block))
            where["memory_latency"] += ready - now
        else:
            self.counts["l1_misses"] += 1
            ready = self.memory.read(block, self.block // self.burst, now)
            if l1 is not None:
                l1.fill(block, ready)
                misses.take(ready)
            loaded = max(0, ready - now - self.unloaded)
            where["bandwidth"] += loaded
            where["memory_latency"] += ready - now - loaded
        yield ready

    def pe(self, number: int) -> Process:
        """One PE: a row at a time, one request at a time."""
        pe, where = self.pes[number], self.where[number]
        controller = self.controllers[number // self.shape.pes]
        now = self.now = 0
        for m in self.waiting:
            start = controller.hand_out(now)
            where["dispatch"] += start - now
            now = start
            for action, amount in pe.row(m):
                if action == COMPUTE:
                    where["compute"] += amount
                    now += amount
                    continue
                yield now
                if action == READ:
                    for later in self._read(number, amount, now):
                        now = later
                        yield now
                else:
                    taken = self.memory.write(amount, self.block // self.burst, now)
                    where["bandwidth"] += taken - now
                    now = taken
            self.rows[m] = pe.merged
            # The next row is asked for, and the last block written, when this one is done.
            yield now
            self.now = now
        if part := pe.result % self.block:
            self.memory.write(pe.result // self.block, -(-part // self.burst), now)

    def run(self) -> tuple[ReferenceRun, ReferenceProduct]:
        """The phase from idle hardware to drained memory, and the product."""
        processes = [self.pe(number) for number in range(len(self.pes))]
        log: list[tuple[int, int, bool]] = []
        run = _finish(processes, self.memory, self.where, self.counts, log, self.shape.begin)
        for pe in self.pes:
            log.extend(pe.log)
        return run, ReferenceProduct(self.rows)


def merge(shape: MergeArray, timing: DramTiming, op: Chunks) -> tuple[ReferenceRun, ReferenceProduct]:
    """The merge phase; the reference of :func:`.row_merge.row_merge`."""
    return MergeMachine(shape, timing, op).run()
