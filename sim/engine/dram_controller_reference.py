"""The DRAM controller of :mod:`siloom.sim.engine.dram_controller` once more, in plain Python.

Lists instead of masks; every choice looks at every request again, nothing is remembered from the last one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from siloom.sim.engine.dram_channel import COUNTS
from siloom.sim.engine.dram_timing import NEVER, Policy, Timing

LONG_AGO = -NEVER


@dataclass
class Request:
    """One pending request; ``hit``: its row is open and not being closed."""

    number: int
    bank: int
    row: int
    before: int
    hit: bool = False


@dataclass
class Bank:
    """``row`` is None where closed; ``asked``: another row has been asked for."""

    row: int | None = None
    refreshed: bool = False
    activated: int = LONG_AGO
    act_at: int = 0
    found: str = "hits"
    why: str = "hits"
    asked: bool = False


@dataclass
class Group:
    """``columns`` are the last read and the last write."""

    column_at: int = LONG_AGO
    act_at: int = LONG_AGO
    columns: list[int] = field(default_factory=lambda: [LONG_AGO, LONG_AGO])


class Channel:
    """One channel; ``serve`` runs it to the end."""

    def __init__(self, timing: Timing, policy: Policy) -> None:
        self.t, self.policy = timing, policy
        ranks = 1 << timing.rank_bits
        self.banks = [Bank() for _ in range(ranks << (timing.group_bits + timing.bank_bits))]
        self.groups = [Group() for _ in range(ranks << timing.group_bits)]
        self.acts: list[list[int]] = [[] for _ in range(ranks)]
        self.refreshes = [timing.refi * (r + 1) // ranks if timing.rfc else NEVER for r in range(ranks)]
        self.refresh_bank = [0] * ranks
        self.queues: list[list[Request]] = [[], []]
        self.served = [0, 0]
        self.mode = self.now = self.busy_from = 0
        self.turn_at = NEVER
        self.turned = False
        self.last, self.last_rank = LONG_AGO, 0
        self.counts = dict.fromkeys(COUNTS, 0)
        self.finish = 0

    def serve(self, requests: Sequence[tuple[int, int, int, bool]]) -> list[int]:
        """Serve (arrival, bank, row, write) in order; return the clock of each one's last data."""
        done = [NEVER] * len(requests)
        place = 0
        while True:
            arrival = NEVER
            while place < len(requests):
                when, bank, row, write = requests[place]
                if len(self.queues[write]) >= (self.policy.write_queue if write else self.policy.window):
                    break
                if when > self.now:
                    arrival = when
                    break
                self.take(place, bank, row, int(write))
                place += 1
            while self.turn():
                pass
            column_at, column = self.next_column()
            act_at, act = self.next_act()
            event = min(column_at, act_at, arrival, self.turn_at)
            due = min(self.refreshes)
            if event == NEVER:
                return done
            if due <= event:
                self.refresh(self.refreshes.index(due), due)
                continue
            if self.turn_at == event and self.now < event and arrival > event:
                self.now = event
                continue
            self.now = event
            if arrival <= event:
                continue
            if column is not None and column_at <= act_at:
                done[column.number] = self.column(column)
            elif act is not None:
                self.activate(act)

    def group_of(self, bank: int) -> int:
        """The bank's group, counted over the channel."""
        return bank >> self.t.bank_bits

    def rank_of(self, bank: int) -> int:
        """The bank's rank."""
        return self.group_of(bank) >> self.t.group_bits

    @property
    def turning(self) -> bool:
        """Rows are being opened for the other queue."""
        return self.turn_at != NEVER

    def in_bank(self, mode: int, bank: int) -> list[Request]:
        """A queue's requests to a bank, the oldest first."""
        return [r for r in self.queues[mode] if r.bank == bank]

    def has_hit(self, mode: int, bank: int) -> bool:
        """A queue has a hit there."""
        return any(r.hit for r in self.in_bank(mode, bank))

    def ask(self, banks: Iterable[int]) -> None:
        """The banks are to be opened anew: the precharge of an open row may go."""
        for bank in banks:
            b = self.banks[bank]
            if not b.asked:
                b.asked = True
                b.act_at = max(b.act_at, self.now if b.row is None else self.now + self.t.rp)

    def closing(self, bank: Bank) -> bool:
        """Its precharge has gone."""
        return bank.asked and self.now > bank.act_at - self.t.rp

    def passed(self, mode: int) -> int:
        """How many younger requests have passed the oldest."""
        return self.served[mode] - self.queues[mode][0].before

    def take(self, number: int, bank: int, row: int, write: int) -> None:
        """Take a request into its queue."""
        if not self.queues[0] and not self.queues[1]:
            self.busy_from = self.now
        queue = self.queues[write]
        request = Request(number, bank, row, self.served[write] + len(queue))
        queue.append(request)
        b = self.banks[bank]
        here = write == self.mode
        due = here and not self.turning and b.asked and self.passed(write) >= self.policy.age_cap
        if b.row == row and not self.closing(b) and not due:
            request.hit = True
            if here or self.turning:
                b.asked = False
        elif here != self.turning and not self.has_hit(self.mode, bank) and not self.has_hit(write, bank):
            self.ask([bank])

    def turn(self) -> bool:
        """Begin or end to turn where it is time to; return whether to look again."""
        mode, other = self.mode, 1 - self.mode
        if not self.turning:
            count, waiting = len(self.queues[mode]), len(self.queues[other])
            if mode:
                wanted = waiting > 0 and count <= self.policy.drain_low
            else:
                wanted = waiting >= self.policy.drain_high or (count == 0 and waiting > 0)
            if wanted:
                for number, bank in enumerate(self.banks):
                    if bank.row is not None and self.closing(bank):
                        bank.row = None
                        for request in self.in_bank(other, number):
                            request.hit = False
                    bank.asked = False
                self.ask(
                    {
                        r.bank
                        for r in self.queues[other]
                        if not self.has_hit(mode, r.bank) and not self.has_hit(other, r.bank)
                    }
                )
                self.turn_at = self.now
                if not any(r.hit for r in self.queues[other]):
                    self.turn_at += self.t.rp + (self.t.rcd_read if mode else self.t.rcd_write)
        if self.turning and (self.turn_at <= self.now or not any(r.hit for r in self.queues[mode])):
            self.mode = other
            self.turn_at = NEVER
            self.ask({r.bank for r in self.queues[other] if not self.has_hit(other, r.bank)})
            self.turn_bus()
            self.counts["turnarounds"] += 1
            self.turned = True
            return True
        return False

    def turn_bus(self) -> None:
        """Hold back every group's columns until the bus has turned to ``mode``."""
        t, mode = self.t, self.mode
        last = max(g.columns[1 - mode] for g in self.groups)
        for number, group in enumerate(self.groups):
            if mode:
                allowed = last + t.cl + t.burst + t.turnaround - t.cwl
            else:
                mates = [g for n, g in enumerate(self.groups) if n >> t.group_bits == number >> t.group_bits]
                allowed = max(
                    group.columns[1] + t.cwl + t.burst + t.wtr_l,
                    max(g.columns[1] for g in mates) + t.cwl + t.burst + t.wtr_s,
                    last + t.cwl + t.ccd_r - t.cl,
                )
            group.column_at = max(group.column_at, allowed)

    def next_column(self) -> tuple[int, Request | None]:
        """The hit whose column command can go first, of equals the oldest."""
        best: tuple[int, Request | None] = (NEVER, None)
        for request in self.queues[self.mode]:
            if request.hit and self.column_ready(request.bank) < best[0]:
                best = self.column_ready(request.bank), request
        return best

    def column_ready(self, bank: int) -> int:
        """When a column command to the bank's open row may go."""
        opens = self.t.rcd_write if self.mode else self.t.rcd_read
        gap = self.t.ccd_s if self.rank_of(bank) == self.last_rank else self.t.ccd_r
        group = self.groups[self.group_of(bank)]
        return max(self.now, self.banks[bank].activated + opens, group.column_at, self.last + gap)

    def next_act(self) -> tuple[int, Request | None]:
        """The request whose bank can be opened first, of equals the oldest."""
        best: tuple[int, Request | None] = (NEVER, None)
        for request in self.queues[1 - self.mode if self.turning else self.mode]:
            bank = self.banks[request.bank]
            if not bank.asked:
                continue
            ready = max(self.now, bank.act_at, self.act_limit(request.bank))
            if ready < best[0]:
                best = ready, request
        return best

    def act_limit(self, bank: int) -> int:
        """What tRRD and tFAW allow."""
        acts = self.acts[self.rank_of(bank)]
        limit = self.groups[self.group_of(bank)].act_at
        if acts:
            limit = max(limit, acts[-1] + self.t.rrd_s)
        if len(acts) >= 4:
            limit = max(limit, acts[-4] + self.t.faw)
        return limit

    def refresh(self, rank: int, due: int) -> None:
        """Refresh a rank or, if per bank, its next bank."""
        t = self.t
        self.now = max(self.now, due)
        width = t.group_bits + t.bank_bits
        numbers = list(range(rank << width, (rank + 1) << width))
        if t.per_bank:
            numbers = [numbers[self.refresh_bank[rank]]]
            self.refresh_bank[rank] = (self.refresh_bank[rank] + 1) % (1 << width)
        start = due
        for number in numbers:
            bank = self.banks[number]
            if bank.row is not None and not bank.asked:
                start = max(start, due + t.rp)
            start = max(start, bank.act_at)
        opening = 1 - self.mode if self.turning else self.mode
        for number in numbers:
            bank = self.banks[number]
            bank.row, bank.refreshed, bank.act_at = None, True, start + t.rfc
            for mode in (0, 1):
                for request in self.in_bank(mode, number):
                    request.hit = False
            bank.asked = bool(self.in_bank(opening, number))
        self.refreshes[rank] += t.refi
        self.counts["refreshes"] += 1

    def column(self, request: Request) -> int:
        """Serve a hit; return the clock of its last data."""
        t, mode, now = self.t, self.mode, self.now
        bank, group = self.banks[request.bank], self.groups[self.group_of(request.bank)]
        rank = self.rank_of(request.bank)
        idle_from = self.last + t.burst if self.last >= 0 else 0
        if now > idle_from:
            if self.busy_from > idle_from:
                self.counts["wait_request"] += self.busy_from - idle_from
                idle_from = self.busy_from
            if now == bank.activated + (t.rcd_write if mode else t.rcd_read):
                cause = bank.why
            elif now == group.column_at:
                cause = "wait_turnaround" if self.turned else "wait_group"
            elif rank != self.last_rank and now == self.last + t.ccd_r:
                cause = "wait_turnaround"
            else:
                cause = "wait_request"
            self.counts[cause] += now - idle_from
        self.turned = False
        self.last, self.last_rank = now, rank
        group.column_at = now + t.ccd_l
        group.columns[mode] = now
        self.counts[bank.found] += 1
        self.counts["writes" if mode else "reads"] += 1
        bank.found = "hits"
        bank.act_at = max(bank.act_at, now + (t.cwl + t.burst + t.wr if mode else t.rtp) + t.rp)
        self.queues[mode].remove(request)
        self.served[mode] += 1
        if not self.has_hit(mode, request.bank):
            if not self.turning and self.in_bank(mode, request.bank):
                self.ask([request.bank])
            if self.turning and self.in_bank(1 - mode, request.bank) and not self.has_hit(1 - mode, request.bank):
                self.ask([request.bank])
        if not self.turning and self.queues[mode] and self.passed(mode) >= self.policy.age_cap:
            oldest = self.queues[mode][0]
            if not oldest.hit and self.has_hit(mode, oldest.bank):
                for other in self.in_bank(mode, oldest.bank):
                    other.hit = False
                self.ask([oldest.bank])
        done = now + (t.cwl if mode else t.cl) + t.burst
        self.finish = max(self.finish, done)
        return done

    def activate(self, request: Request) -> None:
        """Open the row that ``request`` waits for."""
        t, now = self.t, self.now
        bank, group = self.banks[request.bank], self.groups[self.group_of(request.bank)]
        bank.found = "conflicts" if bank.row is not None else "misses"
        if now > bank.act_at and now == self.act_limit(request.bank):
            bank.why = "wait_activate"
        elif bank.row is None and bank.refreshed and now == bank.act_at:
            bank.why = "wait_refresh"
        else:
            bank.why = "wait_row"
        self.counts["activates"] += 1
        bank.row, bank.activated, bank.act_at = request.row, now, now + t.rc
        bank.asked = bank.refreshed = False
        group.act_at = now + t.rrd_l
        self.acts[self.rank_of(request.bank)].append(now)
        for mode in (0, 1):
            for other in self.in_bank(mode, request.bank):
                other.hit = other.row == request.row
        if self.turning:
            self.turn_at = min(self.turn_at, now + (t.rcd_read if self.mode else t.rcd_write))


def serve_reference(
    requests: Sequence[tuple[int, int, int, bool]], timing: Timing, policy: Policy
) -> tuple[list[int], dict[str, int], int]:
    """Serve one channel's (arrival, bank, row, write).

    Returns:
        The clock of each request's last data, the counts, and the clock at which all is done.
    """
    channel = Channel(timing, policy)
    done = channel.serve(requests)
    return done, channel.counts, channel.finish
