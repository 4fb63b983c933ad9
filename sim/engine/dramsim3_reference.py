"""DRAMsim3's controller of :mod:`siloom.sim.engine.dramsim3` once more, in plain Python.

Nothing is remembered but when each bank had each command last: whether one may go is asked anew of every pair of
commands. What is pending stands in tables by address, as in DRAMsim3, beside the queues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from siloom.sim.engine.dram_mapping import Mapping
from siloom.sim.engine.dram_timing import NEVER, Timing
from siloom.sim.engine.dramsim3 import ACTIVATE, COUNTS, PRECHARGE, READ, REFRESH, WRITE, CommandQueues

COLUMNS = (READ, WRITE)


@dataclass
class Request:
    """One request; ``cell``: its burst, counted over the part."""

    number: int
    address: int
    kind: int
    channel: int
    bank: int
    row: int
    cell: int


@dataclass
class Bank:
    """``row`` is None where closed; ``uses``: columns moved since it was opened; ``last``: when each command was."""

    row: int | None = None
    uses: int = 0
    last: dict[int, int] = field(default_factory=dict)
    queue: list[Request] = field(default_factory=list)


def request_of(number: int, address: int, cell: int, write: bool, m: Mapping) -> Request:
    """Take an address apart."""

    def bits(at: int, width: int) -> int:
        return (address >> at) % (1 << width)

    row = bits(m.row_at, m.row_bits)
    inside = m.group_bits + m.bank_bits
    inner = (bits(m.group_at, m.group_bits) << m.bank_bits) + bits(m.bank_at, m.bank_bits)
    if m.fold:
        inner ^= row % (1 << inside)
    bank = (bits(m.rank_at, m.rank_bits) << inside) + inner
    return Request(number, address, WRITE if write else READ, bits(m.channel_at, m.channel_bits), bank, row, cell)


class Channel:
    """One channel; ``tick`` runs it for a clock, ``accept`` offers it a request."""

    def __init__(self, timing: Timing, queues: CommandQueues, *, strict: bool, done: list[int]) -> None:
        self.t, self.sizes, self.strict, self.done = timing, queues, strict, done
        self.banks = [Bank() for _ in range(timing.banks)]
        self.buffers: dict[int, list[Request]] = {READ: [], WRITE: []}
        self.pending: dict[int, dict[int, list[Request]]] = {READ: {}, WRITE: {}}
        self.acts: list[list[int]] = [[] for _ in range(1 << timing.rank_bits)]
        self.due: list[int] = []  # ranks to be refreshed, the first of them now
        self.turn = self.draining = self.refreshes = 0
        self.counts = dict.fromkeys(COUNTS, 0)

    def accept(self, request: Request, clock: int) -> bool:
        """Take a request in if there is room; whether it was."""
        kind, address = request.kind, request.address
        if len(self.buffers[kind]) >= self.sizes.transactions:
            return False
        if address in self.pending[WRITE]:
            self.done[request.number] = clock + 1
            return True
        same = self.pending[kind].setdefault(address, [])
        same.append(request)
        if len(same) == 1:
            self.buffers[kind].append(request)
        return True

    def tick(self, clock: int) -> None:
        """Send what may go, then move one transaction to its bank."""
        t = self.t
        ranks = 1 << t.rank_bits
        if t.rfc and clock and clock % (t.refi // ranks) == 0:
            self.due.append(self.refreshes % ranks)
            self.refreshes += 1
        self.standing = self.due[0] if self.due else None
        first = self.refresh(clock)
        if first is None:
            first = self.next(clock)
        if first is not None:
            self.send(*first, clock)
            second = self.next(clock) if self.sizes.pairs else None
            if second is not None and (second[0] in COLUMNS) != (first[0] in COLUMNS):
                self.send(*second, clock)
                self.counts["pairs"] += 1
        self.schedule()

    @property
    def busy(self) -> bool:
        """Something is left that will go without another request."""
        return bool(self.buffers[READ]) or self.draining > 0 or any(b.queue for b in self.banks)

    def rank_of(self, bank: int) -> int:
        """The bank's rank."""
        return bank >> (self.t.group_bits + self.t.bank_bits)

    def gap(self, before: int, after: int, one: int, other: int) -> int | None:
        """Clocks from a command of bank ``one`` to another of bank ``other``; None: any."""
        t = self.t
        same_bank = one == other
        same_group = one >> t.bank_bits == other >> t.bank_bits
        same_rank = self.rank_of(one) == self.rank_of(other)
        written = t.cwl + t.burst
        match before, after:
            case (0, 0):
                return t.ccd_l if same_group else t.ccd_s if same_rank else t.burst + t.turnaround
            case (0, 1):
                return t.cl + t.burst + t.turnaround - t.cwl
            case (1, 1):
                return t.ccd_l if same_group else t.ccd_s if same_rank else t.burst
            case (1, 0):
                return written + (t.wtr_l if same_group else t.wtr_s if same_rank else t.turnaround - t.cl)
        if before == ACTIVATE and after == ACTIVATE and same_rank:
            return t.rc if same_bank else t.rrd_l if same_group else t.rrd_s
        if not same_bank:
            return None
        own = {
            (READ, PRECHARGE): t.rtp, (WRITE, PRECHARGE): written + t.wr, (ACTIVATE, READ): t.rcd_read,
            (ACTIVATE, WRITE): t.rcd_write, (ACTIVATE, PRECHARGE): t.ras, (PRECHARGE, ACTIVATE): t.rp,
            (PRECHARGE, REFRESH): t.rp, (REFRESH, ACTIVATE): t.rfc, (REFRESH, REFRESH): t.rfc,
        }  # fmt: skip
        return own.get((before, after))

    def may(self, kind: int, bank: int, clock: int) -> bool:
        """Whether a command may go to a bank."""
        if kind == ACTIVATE and sum(clock < act + self.t.faw for act in self.acts[self.rank_of(bank)]) >= 4:
            return False
        for number, other in enumerate(self.banks):
            for before, when in other.last.items():
                gap = self.gap(before, kind, number, bank)
                if gap is not None and clock < when + gap:
                    return False
        return True

    def refresh(self, clock: int) -> tuple[int, int, Request | None] | None:
        """What brings the refresh that is due nearer: a row to be closed, or itself."""
        if self.standing is None:
            return None
        banks = [b for b in range(len(self.banks)) if self.rank_of(b) == self.standing]
        for bank in banks:
            if self.banks[bank].row is not None and self.may(PRECHARGE, bank, clock):
                return PRECHARGE, bank, None
        if all(self.banks[bank].row is None and self.may(REFRESH, bank, clock) for bank in banks):
            self.standing = None
            return REFRESH, banks[0], None
        return None

    def next(self, clock: int) -> tuple[int, int, Request | None] | None:
        """The command of the first bank after the last that has one."""
        for _ in self.banks:
            self.turn = (self.turn + 1) % len(self.banks)
            if self.rank_of(self.turn) == self.standing:
                continue
            for place, request in enumerate(self.banks[self.turn].queue):
                kind = self.wanted(request, place, clock)
                if kind is not None:
                    return kind, self.turn, request
        return None

    def wanted(self, request: Request, place: int, clock: int) -> int | None:
        """The command that a request needs next, if it may go."""
        bank = self.banks[request.bank]
        if bank.row is None:
            kind = ACTIVATE
        elif bank.row == request.row:
            kind = request.kind
        else:
            kind = PRECHARGE
        if not self.may(kind, request.bank, clock):
            return None
        if kind == PRECHARGE:
            hits = any(other.row == bank.row for other in bank.queue)
            if place or (hits and bank.uses < self.sizes.row_hits):
                return None
        if kind == WRITE and any(r.kind == READ and r.cell == request.cell for r in bank.queue[:place]):
            return None
        return kind

    def send(self, kind: int, number: int, request: Request | None, clock: int) -> None:
        """Send a command and remember it."""
        t, bank = self.t, self.banks[number]
        if kind in COLUMNS:
            assert request is not None
            self.counts["reads" if kind == READ else "writes"] += 1
            self.counts["read_hits" if kind == READ else "write_hits"] += bank.uses > 0
            bank.uses += 1
            bank.queue.remove(request)
            for same in self.pending[kind].pop(request.address):
                self.done[same.number] = clock + t.burst + (t.cl if kind == READ else t.cwl)
        elif kind == ACTIVATE:
            assert request is not None
            self.counts["activates"] += 1
            bank.row = request.row
            self.acts[self.rank_of(number)].append(clock)
        elif kind == PRECHARGE:
            self.counts["precharges"] += 1
            bank.row, bank.uses = None, 0
        else:
            self.counts["refreshes"] += 1
            del self.due[0]
            for other in range(len(self.banks)):
                if self.rank_of(other) == self.rank_of(number):
                    self.banks[other].last[REFRESH] = clock
        bank.last[kind] = clock

    def schedule(self) -> None:
        """Move one transaction to its bank's queue."""
        writes = self.buffers[WRITE]
        idle = len(writes) > self.sizes.idle_writes and not any(b.queue for b in self.banks)
        drain = idle or len(writes) == self.sizes.transactions
        if not self.draining and drain:
            self.draining = len(writes)
        for request in self.buffers[WRITE if self.draining else READ]:
            if len(self.banks[request.bank].queue) >= self.sizes.commands:
                continue
            if request.kind == WRITE:
                if request.address not in self.pending[READ]:
                    self.draining -= 1
                    self.move(request)
                    return
                self.draining = 0
                read = self.pending[READ][request.address][0]
                if self.strict or not (drain and request is writes[0] and read in self.buffers[READ]):
                    return
                self.move_read()
                return
            self.move(request)
            return

    def move_read(self) -> None:
        """Move the oldest read whose bank has room."""
        for request in self.buffers[READ]:
            if len(self.banks[request.bank].queue) < self.sizes.commands:
                self.move(request)
                return

    def move(self, request: Request) -> None:
        """From its buffer to its bank."""
        self.buffers[request.kind].remove(request)
        self.banks[request.bank].queue.append(request)


def drive_reference(
    addresses: Sequence[int],
    cells: Sequence[int],
    writes: Sequence[bool],
    mapped: Mapping,
    timing: Timing,
    queues: CommandQueues,
    *,
    group: int,
    cycles: int,
    strict: bool = False,
) -> tuple[list[int], list[int], list[dict[str, int]]]:
    """As ``drive`` of the engine; ``strict``: stands still for ever where DRAMsim3 does.

    Returns:
        The clock at which each request was accepted, that of its last data, and the counts of each channel.
    """
    stream = enumerate(zip(addresses, cells, writes, strict=True))
    requests = [request_of(i, *request, mapped) for i, request in stream]
    accepted, done = [NEVER] * len(requests), [NEVER] * len(requests)
    channels = [Channel(timing, queues, strict=strict, done=done) for _ in range(1 << mapped.channel_bits)]
    offered, left = requests[:group], requests[group:]
    for clock in range(cycles):
        for channel in channels:
            channel.tick(clock)
        if not offered and not any(channel.busy for channel in channels):
            break
        for request in list(offered):
            if channels[request.channel].accept(request, clock + 1):
                accepted[request.number] = clock + 1
                offered.remove(request)
        if not offered:
            offered, left = left[:group], left[group:]
    return accepted, done, [channel.counts for channel in channels]
