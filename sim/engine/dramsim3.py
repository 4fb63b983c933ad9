"""DRAMsim3's memory controller, clock by clock: a convention to compare with, not the one that machines use.

DRAMsim3 (Li et al., IEEE CAL 2020; git 2981759, src/controller.cc, command_queue.cc, channel_state.cc) is what
DRAM models are checked against. This engine decides as it does, so that its counts come out to the digit,
and what our own controller (:mod:`siloom.sim.engine.dram_controller`) does otherwise is known:

- a channel accepts ``transactions`` reads and as many writes that no command queue has taken yet, and each
  bank has a queue of ``commands``. One transaction a clock goes from the first to the second: a read, or, once
  as many writes have come as may (or more than ``idle_writes`` with every command queue empty), the writes
  that were there then, one after the other. Reads and writes meet again in the banks' queues;
- one command a clock goes to the memory, of HBM one for a row and one for a column: queues take turns, and
  each offers its oldest request whose next command may go. A row is closed for the oldest request of its bank
  only, once no other hits it or ``row_hits`` columns have been moved;
- ranks are refreshed one after the other; while a refresh is due, its rank's queues stand still.

A write is acknowledged the clock after it was accepted. A read or a write of an address that is being written
is done as soon, a read of one that is being read is done with it. Byte addresses are compared, whole: two within
a burst, or apart by the part's size, are two requests, and of those only a write and a read before it in one
queue keep their order. A write whose address is being read ends the draining, which costs a clock. Where it is
the oldest, and its read in a buffer too, DRAMsim3 stands still for ever; here the reads go on. Not here: queues
by rank, closed pages, refresh by bank, self-refresh.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from siloom.sim.engine.arrays import borrow
from siloom.sim.engine.dram_mapping import Mapping, channel_of, packed
from siloom.sim.engine.dram_timing import NEVER, Timing
from siloom.sim.jit import inline_kernel, kernel

Ints = NDArray[np.int64]

READ, WRITE, ACTIVATE, PRECHARGE, REFRESH = range(5)
"""Commands."""
COUNTS = ("reads", "read_hits", "writes", "write_hits", "activates", "precharges", "refreshes", "pairs")
"""What is counted: commands; columns of a row that was used before; clocks with a row's and a column's command."""
READS, READ_HITS, WRITES, WRITE_HITS, ACTIVATES, PRECHARGES, REFRESHES, PAIRS = range(len(COUNTS))
_NONE = -1


class CommandQueues(NamedTuple):
    """Sizes as in DRAMsim3's files for DDR3, DDR4 and HBM2; ``pairs``: a row's and a column's command a clock (HBM)."""

    transactions: int = 32
    commands: int = 8
    row_hits: int = 4
    idle_writes: int = 8
    pairs: int = 0


class _Requests(NamedTuple):
    """Of each request [n]: address, burst of the part, channel, its bank, row, kind; the read done with it; clocks."""

    addresses: Ints
    cells: Ints
    channels: Ints
    banks: Ints
    rows: Ints
    writes: NDArray[np.bool_]
    joined: Ints
    accepted: Ints
    done: Ints


class _State(NamedTuple):
    """What each channel has and knows.

    ``buffers`` [channels, 2, transactions] and ``queues`` [channels, banks, commands] hold requests; ``buffered``
    and ``queued`` are how many, ``held`` [channels] those of all queues; ``draining`` [channels] is how many
    writes are still to go to the queues, ``turn`` [channels] the queue that was asked last. ``ready`` [channels,
    5, banks]: from when on a command may go; ``uses`` [channels, banks]: columns moved since the row was opened;
    ``acts`` [channels, ranks, 4]: when the last four were, the first of them at ``next_act``; ``refreshed``
    [channels]: refreshes done.
    """

    buffers: Ints
    buffered: Ints
    queues: Ints
    queued: Ints
    held: Ints
    draining: Ints
    turn: Ints
    ready: Ints
    open_row: Ints
    uses: Ints
    acts: Ints
    next_act: Ints
    refreshed: Ints


def drive(
    addresses: Ints,
    cells: Ints,
    writes: NDArray[np.bool_],
    mapped: Mapping,
    timing: Timing,
    queues: CommandQueues,
    *,
    group: int,
    cycles: int,
) -> tuple[Ints, Ints, Ints]:
    """Offer a stream [n] of byte addresses as fast as it is accepted, for ``cycles`` clocks at most.

    ``cells`` [n]: which of the part's bursts each address falls on. Each clock those of a group of ``group``
    requests are offered that have not been accepted yet; the next group comes once all are. Writes left in a
    buffer at the end, too few to be drained, are never done.

    Returns:
        The clock at which each request was accepted [n] and that of its last data [n] (of its acknowledgement, if
        it never went to a bank), NEVER for those not reached; counts by channel [channels, ``COUNTS``].
    """
    n, channels = len(addresses), 1 << mapped.channel_bits
    banks, ranks = timing.banks, 1 << timing.rank_bits
    requests = _Requests(
        addresses=addresses,
        cells=cells,
        channels=np.empty(n, np.int64),
        banks=np.empty(n, np.int64),
        rows=np.empty(n, np.int64),
        writes=writes,
        joined=np.full(n, _NONE),
        accepted=np.full(n, NEVER),
        done=np.full(n, NEVER),
    )
    state = _State(
        buffers=np.zeros((channels, 2, queues.transactions), np.int64),
        buffered=np.zeros((channels, 2), np.int64),
        queues=np.zeros((channels, banks, queues.commands), np.int64),
        queued=np.zeros((channels, banks), np.int64),
        held=np.zeros(channels, np.int64),
        draining=np.zeros(channels, np.int64),
        turn=np.zeros(channels, np.int64),
        ready=np.zeros((channels, REFRESH + 1, banks), np.int64),
        open_row=np.full((channels, banks), _NONE),
        uses=np.zeros((channels, banks), np.int64),
        acts=np.full((channels, ranks, 4), -NEVER),
        next_act=np.zeros((channels, ranks), np.int64),
        refreshed=np.zeros(channels, np.int64),
    )
    counts = np.zeros((channels, len(COUNTS)), np.int64)
    _decode(mapped, requests)
    _drive(requests, timing, queues, group, cycles, state, counts)
    return requests.accepted, requests.done, counts


@kernel
def _decode(mapped: Mapping, requests: _Requests) -> None:
    """Take the addresses apart."""
    for i, address in enumerate(requests.addresses):
        request = packed(address, 0, mapped)
        requests.channels[i] = channel_of(address, mapped)
        requests.banks[i], requests.rows[i] = (request >> 1) & 63, request >> 7


@kernel
def _drive(
    requests: _Requests, timing: Timing, queues: CommandQueues, group: int, cycles: int, state: _State, counts: Ints
) -> None:
    """Run all channels, then the driver, clock by clock."""
    # Lent to those below: each look at an array of a tuple would cost two atomic operations.
    of, at = requests, state
    requests = _Requests(
        borrow(of.addresses), borrow(of.cells), borrow(of.channels), borrow(of.banks), borrow(of.rows),
        borrow(of.writes), borrow(of.joined), borrow(of.accepted), borrow(of.done),
    )  # fmt: skip
    state = _State(
        borrow(at.buffers), borrow(at.buffered), borrow(at.queues), borrow(at.queued), borrow(at.held),
        borrow(at.draining), borrow(at.turn), borrow(at.ready), borrow(at.open_row), borrow(at.uses), borrow(at.acts),
        borrow(at.next_act), borrow(at.refreshed),
    )  # fmt: skip
    n, channels = len(requests.addresses), len(state.turn)
    interval = timing.refi >> timing.rank_bits if timing.rfc else NEVER
    first, wanted = 0, min(group, n)
    for clock in range(cycles):
        busy = False
        for channel in range(channels):
            _issue(channel, clock, clock // interval, requests, timing, queues, state, counts)
            _schedule(channel, requests, queues, state)
            busy |= state.held[channel] > 0 or state.buffered[channel, READ] > 0 or state.draining[channel] > 0
        if first >= n and not busy:
            break  # what is left are writes, too few to be drained
        for i in range(first, min(first + group, n)):
            if requests.accepted[i] == NEVER and _accept(i, clock + 1, requests, queues, state):
                wanted -= 1
        if wanted == 0:
            first += group
            wanted = min(group, max(0, n - first))


@inline_kernel
def _accept(i: int, clock: int, requests: _Requests, queues: CommandQueues, state: _State) -> bool:
    """Take a request in if there is room; whether it was."""
    channel, kind = requests.channels[i], int(requests.writes[i])
    place = state.buffered[channel, kind]
    if place == queues.transactions:
        return False
    requests.accepted[i] = clock
    if _pending(i, WRITE, requests, state) != _NONE:
        requests.done[i] = clock + 1
        return True
    if kind == READ:
        before = _pending(i, READ, requests, state)
        if before != _NONE:
            requests.joined[i], requests.joined[before] = requests.joined[before], i
            return True
    state.buffers[channel, kind, place] = i
    state.buffered[channel, kind] = place + 1
    return True


@inline_kernel
def _pending(i: int, kind: int, requests: _Requests, state: _State) -> int:
    """The request of a kind and to the same address as ``i`` that waits for its command, or none."""
    buffered = _buffered(i, kind, requests, state)
    if buffered != _NONE:
        return buffered
    channel, bank = requests.channels[i], requests.banks[i]
    for place in range(state.queued[channel, bank]):
        other = state.queues[channel, bank, place]
        if requests.addresses[other] == requests.addresses[i] and requests.writes[other] == (kind == WRITE):
            return int(other)
    return _NONE


@inline_kernel
def _buffered(i: int, kind: int, requests: _Requests, state: _State) -> int:
    """The request of a kind and to the same address as ``i`` that no queue has taken yet, or none."""
    channel = requests.channels[i]
    for place in range(state.buffered[channel, kind]):
        other = state.buffers[channel, kind, place]
        if requests.addresses[other] == requests.addresses[i]:
            return int(other)
    return _NONE


@inline_kernel
def _schedule(channel: int, requests: _Requests, queues: CommandQueues, state: _State) -> None:
    """Move one transaction to its bank's queue."""
    written = state.buffered[channel, WRITE]
    drain = written == queues.transactions or (written > queues.idle_writes and state.held[channel] == 0)
    if state.draining[channel] == 0 and drain:
        state.draining[channel] = written
    if state.draining[channel] > 0:
        place = _schedulable(channel, WRITE, requests, queues, state)
        if place == _NONE:
            return
        write = state.buffers[channel, WRITE, place]
        if _pending(write, READ, requests, state) == _NONE:
            state.draining[channel] -= 1
            _enqueue(channel, WRITE, place, requests, state)
            return
        state.draining[channel] = 0
        # The clock is lost, but where every clock after it would be: nothing before this write, nor its read, moves.
        if place > 0 or not drain or _buffered(write, READ, requests, state) == _NONE:
            return
    place = _schedulable(channel, READ, requests, queues, state)
    if place != _NONE:
        _enqueue(channel, READ, place, requests, state)


@inline_kernel
def _schedulable(channel: int, kind: int, requests: _Requests, queues: CommandQueues, state: _State) -> int:
    """Place of the oldest transaction whose bank has room in its queue, or none."""
    for place in range(state.buffered[channel, kind]):
        if state.queued[channel, requests.banks[state.buffers[channel, kind, place]]] < queues.commands:
            return place
    return _NONE


@inline_kernel
def _enqueue(channel: int, kind: int, place: int, requests: _Requests, state: _State) -> None:
    """Move the transaction at ``place``."""
    i = state.buffers[channel, kind, place]
    bank = requests.banks[i]
    state.queues[channel, bank, state.queued[channel, bank]] = i
    state.queued[channel, bank] += 1
    state.held[channel] += 1
    state.buffered[channel, kind] -= 1
    _close_gap(state.buffers[channel, kind], place, state.buffered[channel, kind])


@inline_kernel
def _close_gap(queue: Ints, place: int, left: int) -> None:
    """Move up those behind ``place``; ``left`` are in the queue."""
    for behind in range(place, left):
        queue[behind] = queue[behind + 1]


@inline_kernel
def _issue(
    channel: int,
    clock: int,
    refreshes: int,
    requests: _Requests,
    timing: Timing,
    queues: CommandQueues,
    state: _State,
    counts: Ints,
) -> None:
    """Send the commands of a clock; ``refreshes`` have fallen due."""
    ranks, width = 1 << timing.rank_bits, timing.group_bits + timing.bank_bits
    waiting = _NONE  # the rank that waits for its refresh
    kind = bank = place = _NONE
    if state.refreshed[channel] < refreshes:
        waiting = state.refreshed[channel] & (ranks - 1)
        kind, bank = _to_refresh(channel, waiting << width, (waiting + 1) << width, clock, state)
    for second in range(1 + queues.pairs):
        before = kind
        if kind == _NONE or second:
            kind, bank, place = _next_command(channel, waiting, width, clock, requests, timing, queues, state)
        if kind == _NONE:
            return
        if second:
            if (kind <= WRITE) == (before <= WRITE):
                return
            counts[channel, PAIRS] += 1
        if kind <= WRITE:
            counts[channel, READ_HITS + 2 * kind] += int(state.uses[channel, bank] > 0)
            counts[channel, READS + 2 * kind] += 1
            _finish(channel, kind, bank, place, clock, requests, timing, state)
            _move_column(channel, kind, bank, clock, timing, state)
        elif kind == ACTIVATE:
            counts[channel, ACTIVATES] += 1
            row = requests.rows[state.queues[channel, bank, place]]
            _open_row(channel, bank, row, clock, timing, state)
        elif kind == PRECHARGE:
            counts[channel, PRECHARGES] += 1
            state.open_row[channel, bank], state.uses[channel, bank] = _NONE, 0
            for later in (ACTIVATE, REFRESH):
                _not_before(state.ready, channel, later, bank, clock + timing.rp)
        else:
            counts[channel, REFRESHES] += 1
            state.refreshed[channel] += 1
            for other in range(bank, bank + (1 << width)):
                for later in (ACTIVATE, REFRESH):
                    _not_before(state.ready, channel, later, other, clock + timing.rfc)


@inline_kernel
def _not_before(ready: Ints, channel: int, kind: int, bank: int, clock: int) -> None:
    ready[channel, kind, bank] = max(ready[channel, kind, bank], clock)


@inline_kernel
def _to_refresh(channel: int, first: int, end: int, clock: int, state: _State) -> tuple[int, int]:
    """Of a rank's banks the first that can be closed, or the refresh once all may be; and the bank."""
    may = 0
    for bank in range(first, end):
        if state.open_row[channel, bank] == _NONE:
            may += int(clock >= state.ready[channel, REFRESH, bank])
        elif clock >= state.ready[channel, PRECHARGE, bank]:
            return PRECHARGE, bank
    return (REFRESH if may == end - first else _NONE), first


@inline_kernel
def _next_command(
    channel: int,
    waiting: int,
    width: int,
    clock: int,
    requests: _Requests,
    timing: Timing,
    queues: CommandQueues,
    state: _State,
) -> tuple[int, int, int]:
    """The command that may go, of the first queue after the last that has one; its bank; its place there."""
    banks = state.queued.shape[1]
    for _ in range(banks):
        bank = (state.turn[channel] + 1) & (banks - 1)
        state.turn[channel] = bank
        if state.queued[channel, bank] and bank >> width != waiting:
            kind, place = _of_queue(channel, bank, bank >> width, clock, requests, timing, queues, state)
            if kind != _NONE:
                return kind, bank, place
    return _NONE, _NONE, _NONE


@inline_kernel
def _of_queue(
    channel: int,
    bank: int,
    rank: int,
    clock: int,
    requests: _Requests,
    timing: Timing,
    queues: CommandQueues,
    state: _State,
) -> tuple[int, int]:
    """The command of a bank's oldest request whose next one may go, and its place."""
    open_row = state.open_row[channel, bank]
    if open_row == _NONE:
        may = clock >= state.ready[channel, ACTIVATE, bank]
        oldest = state.acts[channel, rank, state.next_act[channel, rank]]
        return (ACTIVATE if may and clock >= oldest + timing.faw else _NONE), 0
    closable = clock >= state.ready[channel, PRECHARGE, bank]
    movable = clock >= min(state.ready[channel, READ, bank], state.ready[channel, WRITE, bank])
    if not closable and not movable:
        return _NONE, _NONE
    hit = False
    for place in range(state.queued[channel, bank]):
        hit |= requests.rows[state.queues[channel, bank, place]] == open_row
    another = requests.rows[state.queues[channel, bank, 0]] != open_row  # a row is closed for the oldest alone
    if another and closable and (not hit or state.uses[channel, bank] >= queues.row_hits):
        return PRECHARGE, 0
    if hit:
        for place in range(state.queued[channel, bank]):
            i = state.queues[channel, bank, place]
            kind = WRITE if requests.writes[i] else READ
            if requests.rows[i] != open_row or clock < state.ready[channel, kind, bank]:
                continue
            if kind == READ or not _read_before(channel, bank, place, requests, state):
                return kind, place
    return _NONE, _NONE


@inline_kernel
def _read_before(channel: int, bank: int, place: int, requests: _Requests, state: _State) -> bool:
    """Whether the write at ``place`` of a queue stands behind a read of its burst, by another address."""
    cell = requests.cells[state.queues[channel, bank, place]]
    for before in range(place):
        other = state.queues[channel, bank, before]
        if requests.cells[other] == cell and not requests.writes[other]:
            return True
    return False


@inline_kernel
def _finish(
    channel: int, kind: int, bank: int, place: int, clock: int, requests: _Requests, timing: Timing, state: _State
) -> None:
    """A request's column command goes: it is done once its data are through, and those that joined it."""
    i = state.queues[channel, bank, place]
    state.queued[channel, bank] -= 1
    state.held[channel] -= 1
    _close_gap(state.queues[channel, bank], place, state.queued[channel, bank])
    done = clock + (timing.cwl if kind == WRITE else timing.cl) + timing.burst
    while i != _NONE:
        requests.done[i] = done
        i = requests.joined[i]


@inline_kernel
def _open_row(channel: int, bank: int, row: int, clock: int, timing: Timing, state: _State) -> None:
    """Open a row; what may follow when."""
    width = timing.group_bits + timing.bank_bits
    rank = bank >> width
    state.open_row[channel, bank] = row
    state.acts[channel, rank, state.next_act[channel, rank]] = clock
    state.next_act[channel, rank] = (state.next_act[channel, rank] + 1) & 3
    ready = state.ready
    _not_before(ready, channel, READ, bank, clock + timing.rcd_read)
    _not_before(ready, channel, WRITE, bank, clock + timing.rcd_write)
    _not_before(ready, channel, PRECHARGE, bank, clock + timing.ras)
    for other in range(rank << width, (rank + 1) << width):
        near = other >> timing.bank_bits == bank >> timing.bank_bits
        gap = timing.rc if other == bank else timing.rrd_l if near else timing.rrd_s
        _not_before(ready, channel, ACTIVATE, other, clock + gap)


@inline_kernel
def _move_column(channel: int, kind: int, bank: int, clock: int, timing: Timing, state: _State) -> None:
    """Move a column; what may follow when (timing.cc)."""
    burst, change = timing.burst, timing.turnaround  # tRTRS: of direction, and of ranks
    to_write = timing.cl + burst + change - timing.cwl
    to_read = timing.cwl + burst
    state.uses[channel, bank] += 1
    for other in range(state.queued.shape[1]):
        if other >> (timing.group_bits + timing.bank_bits) != bank >> (timing.group_bits + timing.bank_bits):
            read_gap = burst + change if kind == READ else to_read + change - timing.cl
            write_gap = to_write if kind == READ else burst
        elif other >> timing.bank_bits == bank >> timing.bank_bits:
            read_gap = timing.ccd_l if kind == READ else to_read + timing.wtr_l
            write_gap = to_write if kind == READ else timing.ccd_l
        else:
            read_gap = timing.ccd_s if kind == READ else to_read + timing.wtr_s
            write_gap = to_write if kind == READ else timing.ccd_s
        _not_before(state.ready, channel, READ, other, clock + read_gap)
        _not_before(state.ready, channel, WRITE, other, clock + write_gap)
    to_close = timing.rtp if kind == READ else timing.cwl + burst + timing.wr
    _not_before(state.ready, channel, PRECHARGE, bank, clock + to_close)
