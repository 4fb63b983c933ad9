"""Work items to P servers: to whichever is free, in blocks, or in turn; through a shared port.

``greedy`` has one queue: its head goes to the server that has been free for longest (the lowest
number among equals) and is never overtaken. ``static_blocks`` and ``round_robin`` give each server
a queue of its own, decided beforehand. A server works on one item at a time.

An item may have a release time, before which it cannot start. A :class:`Port` that all servers
share lets only so many items start in a stretch of cycles; servers that wait for it are served in
the order in which they became ready, the lowest number first among equals.

No stealing, no preemption, no priorities; an assignment costs no time of its own (put it into the
service times, or into the port).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from siloom.sim.engine.cycles import MAX_COUNT, CyclesLike, Ints, as_cycles, exact_sum, require_below
from siloom.sim.engine.tournament import bits_for, replace
from siloom.sim.errors import InputError
from siloom.sim.jit import inline_kernel, kernel

MAX_SERVERS = 2**20
"""More servers than any chip has; tables are allocated per server."""

_IDLE = 2**63 - 1


class Port(NamedTuple):
    """A shared way to the servers: at most ``starts`` items start within any ``cycles`` cycles."""

    starts: int
    cycles: int


OPEN = Port(1, 0)
"""The null port: nobody ever waits for it."""


@dataclass(frozen=True, eq=False)
class Schedule:
    """Who did what and when.

    ``start``, ``finish`` and ``server`` are [items]; ``busy`` [servers] is each server's work, and
    the rest of ``makespan`` it was idle. A server has at most one item between start and finish.
    """

    start: Ints
    finish: Ints
    server: Ints
    busy: Ints
    makespan: int


@inline_kernel
def _new_tree(bits: int) -> Ints:
    """A tournament tree (see tournament.py) in which no server is waiting."""
    return np.full(2 << bits, _IDLE, np.int64)


@kernel
def _one_queue(
    service: Ints, release: Ints, servers: int, starts: int, cycles: int, start: Ints, server: Ints, busy: Ints
) -> None:
    """Greedy: items in order, each to the server at the root of the tree (free time, number)."""
    bits = bits_for(servers)
    tree = _new_tree(bits)
    for s in range(servers):
        replace(tree, bits, s, 0)
    mask = (1 << bits) - 1
    begin = 0
    for i in range(len(service)):
        first = tree[1]
        chosen = first & mask
        begin = max(begin, max(first >> bits, release[i]))
        if i >= starts:
            begin = max(begin, start[i - starts] + cycles)
        start[i] = begin
        server[i] = chosen
        busy[chosen] += service[i]
        replace(tree, bits, chosen, begin + service[i])


@kernel
def _own_queues(service: Ints, release: Ints, server: Ints, start: Ints, busy: Ints) -> None:
    """Each server takes its own items in order; servers do not meet."""
    free = np.zeros(len(busy), np.int64)
    for i in range(len(service)):
        own = server[i]
        start[i] = max(free[own], release[i])
        free[own] = start[i] + service[i]
        busy[own] += service[i]


@kernel
def _own_queues_one_port(
    service: Ints, release: Ints, server: Ints, servers: int, starts: int, cycles: int, start: Ints
) -> None:
    """As above through a port: the tree holds when each server's next item is ready to start."""
    items = len(service)
    head = np.full(servers, -1, np.int64)
    following = np.empty(items, np.int64)
    for i in range(items - 1, -1, -1):
        following[i] = head[server[i]]
        head[server[i]] = i
    bits = bits_for(servers)
    tree = _new_tree(bits)
    for s in range(servers):
        if head[s] >= 0:
            replace(tree, bits, s, release[head[s]])
    mask = (1 << bits) - 1
    recent = np.zeros(starts, np.int64)
    for granted in range(items):
        first = tree[1]
        own = first & mask
        i = head[own]
        begin = first >> bits
        if granted >= starts:
            begin = max(begin, recent[granted % starts] + cycles)
        recent[granted % starts] = begin
        start[i] = begin
        head[own] = following[i]
        ready = _IDLE >> bits if head[own] < 0 else max(begin + service[i], release[head[own]])
        replace(tree, bits, own, ready)


def greedy(service: CyclesLike, servers: int, release: CyclesLike | None = None, port: Port = OPEN) -> Schedule:
    """One queue for all servers: its head starts as soon as a server, and the port, is free.

    Args:
        service: cycles of each item, [items], in the queue's order.
        servers: how many, 1 to 2^20.
        release: cycle before which an item cannot start, [items]; default 0. The queue does not
            reorder: an item also waits for those in front of it.
        port: shared by all servers.

    Raises:
        InputError: another shape, a negative number, no servers, a port without starts, or a run
            whose cycles times servers may reach 2^62.
    """
    times, offered = _checked(service, servers, release, port)
    # A time and a server's number share 62 bits in the tree.
    require_below("dispatch", most_makespan(times, servers, offered, port), MAX_COUNT >> _bits(servers))
    start, server = np.empty_like(times), np.empty_like(times)
    busy = np.zeros(servers, np.int64)
    _one_queue(times, offered, servers, _starts(port, len(times)), port.cycles, start, server, busy)
    return _schedule(times, start, server, busy)


def static_blocks(service: CyclesLike, servers: int, release: CyclesLike | None = None, port: Port = OPEN) -> Schedule:
    """Equal numbers of neighbouring items to each server; the first servers take one more each.

    Arguments and errors as :func:`greedy`, but each server has a queue of its own.
    """
    times, offered = _checked(service, servers, release, port)
    size, more = divmod(len(times), servers)
    sizes = np.full(servers, size, np.int64)
    sizes[:more] += 1
    return _fixed(times, offered, np.repeat(np.arange(servers, dtype=np.int64), sizes), servers, port)


def round_robin(service: CyclesLike, servers: int, release: CyclesLike | None = None, port: Port = OPEN) -> Schedule:
    """Item i to server i modulo P. Arguments and errors as :func:`static_blocks`."""
    times, offered = _checked(service, servers, release, port)
    return _fixed(times, offered, np.arange(len(times), dtype=np.int64) % servers, servers, port)


def unlimited(service: CyclesLike, release: CyclesLike | None = None) -> Schedule:
    """The null version: a server for every item and no port, so an item waits only for its queue."""
    times, offered = _checked(service, 1, release, OPEN)
    start = np.maximum.accumulate(offered)
    return _schedule(times, start, np.arange(len(times), dtype=np.int64), times.copy())


def least_makespan(service: Ints, servers: int, release: Ints, port: Port = OPEN) -> int:
    """Closed form: no assignment whatever is shorter.

    The longest item from its release on; all work shared equally after the first release; and the
    port, through which the last item starts no earlier than all before it have.
    """
    if len(service) == 0:
        return 0
    first = int(release.min())
    through_port = (len(service) - 1) // port.starts * port.cycles + int(service.min())
    shared = -(-exact_sum(service) // servers)
    return max(int((release + service).max()), first + shared, first + through_port)


def most_makespan(service: Ints, servers: int, release: Ints, port: Port = OPEN) -> int:
    """Closed form: :func:`greedy` is never longer.

    After the last release the head waits only while all servers work, or for the port. Without
    either it is Graham's bound (sum - longest) / P + longest, at most 2 - 1/P times the optimum.
    """
    if len(service) == 0:
        return 0
    longest = int(service.max())
    return int(release.max()) + _most_at_port(port, len(service)) + (exact_sum(service) - longest) // servers + longest


def _bits(servers: int) -> int:
    return (servers - 1).bit_length()


def _most_at_port(port: Port, items: int) -> int:
    """Cycles during which the port may be full before the last of ``items`` has passed."""
    return -(-max(items - 1, 0) // port.starts) * port.cycles


def _starts(port: Port, items: int) -> int:
    """The port's starts that can matter: it is remembered how long ago so many items started."""
    return max(min(port.starts, items), 1)


def _fixed(service: Ints, release: Ints, server: Ints, servers: int, port: Port) -> Schedule:
    last = int(release.max()) if len(release) else 0
    require_below("dispatch", last + exact_sum(service), MAX_COUNT)
    start, busy = np.empty_like(service), np.zeros(servers, np.int64)
    _own_queues(service, release, server, start, busy)
    alone = _schedule(service, start, server, busy)
    if port.cycles == 0:
        return alone
    # A server falls behind only while the port is full. Time and number share 62 bits in the tree.
    require_below("dispatch", alone.makespan + _most_at_port(port, len(service)), MAX_COUNT >> _bits(servers))
    _own_queues_one_port(service, release, server, servers, _starts(port, len(service)), port.cycles, start)
    return _schedule(service, start, server, busy)


def _schedule(service: Ints, start: Ints, server: Ints, busy: Ints) -> Schedule:
    finish = start + service
    return Schedule(start, finish, server, busy, int(finish.max()) if len(finish) else 0)


def _checked(service: CyclesLike, servers: int, release: CyclesLike | None, port: Port) -> tuple[Ints, Ints]:
    times = as_cycles("dispatch: service", service, (None,))
    offered = np.zeros_like(times) if release is None else as_cycles("dispatch: release", release, (len(times),))
    if not 1 <= servers <= MAX_SERVERS:
        raise InputError(f"dispatch: servers must be 1 to {MAX_SERVERS}, got {servers}")
    if not 1 <= port.starts < MAX_COUNT:
        raise InputError(f"dispatch: port.starts must be at least 1 and below 2^62, got {port.starts}")
    if not 0 <= port.cycles < MAX_COUNT:
        raise InputError(f"dispatch: port.cycles must be at least 0 and below 2^62, got {port.cycles}")
    return times, offered
