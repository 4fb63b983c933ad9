"""Drivers of a whole memory: streams with arrival times, and a closed loop that waits for completions.

``replay`` takes a stream with its arrivals: channels do not know of each other and are run one by one.
``drive`` offers requests as fast as it may: groups of so many requests, one group a clock at most, the
next one only once all of a group are accepted (a channel accepts while it has fewer than ``accepted``
requests that its queues have not taken yet), and a group only once the requests ``outstanding`` places
before it are done. So a channel that is full holds back the others, as one in-order port does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from siloom.sim.engine.arrays import u
from siloom.sim.engine.dram_channel import CLOCK, COUNTED, FINISH, TAKEN, new_channels
from siloom.sim.engine.dram_controller import run_channel
from siloom.sim.engine.dram_mapping import Mapping, channel_of, pack, picked, split
from siloom.sim.engine.dram_timing import NEVER, Policy, Timing
from siloom.sim.jit import kernel

Ints = NDArray[np.int64]


def replay(
    addresses: Ints, writes: NDArray[np.bool_], arrivals: Ints, mapped: Mapping, timing: Timing, policy: Policy
) -> tuple[Ints, Ints, Ints]:
    """Serve a stream [n] of byte addresses that arrive at ``arrivals`` [n], not decreasing.

    A request that finds its queue full waits before its channel, and those of that channel behind it.

    Returns:
        The clock of each request's last data [n], counts by channel [channels, ``COUNTS``], and the clock at
        which each channel is done [channels].
    """
    if mapped.channel_bits == 0:  # nothing to sort
        requests, times, begins = pack(addresses, writes, mapped), arrivals, np.array([0, len(addresses)])
    else:
        requests, times, places, begins = split(addresses, writes, arrivals, mapped)
    # A request is read once, before it is done, so its clock takes its place: fresh memory costs time.
    done = requests
    channels = len(begins) - 1
    finish = np.zeros(channels, np.int64)
    states = new_channels(timing, begins[:-1])
    for channel in range(channels):
        state = states[channel]
        end = int(begins[channel + 1])
        run_channel(requests, times, end, NEVER - 1, NEVER, -1, timing, policy, state, done)
        finish[channel] = state[FINISH]
    return (picked(done, places, times) if channels > 1 else done), states[:, COUNTED].copy(), finish


def drive(
    addresses: Ints,
    writes: NDArray[np.bool_],
    mapped: Mapping,
    timing: Timing,
    policy: Policy,
    *,
    group: int = 1,
    accepted: int = 1,
    outstanding: int = 0,
    until: int = NEVER - 1,
) -> tuple[Ints, Ints, Ints, Ints]:
    """Offer a stream [n] of byte addresses as fast as it is accepted; stop at clock ``until``.

    Returns:
        The clock at which each request was accepted [n], of its last data [n], NEVER for those not reached;
        counts by channel [channels, ``COUNTS``], and the clock at which each channel is done [channels].
    """
    times = np.full(len(addresses), NEVER)
    requests, times, places, begins = split(addresses, writes, times, mapped)
    states = new_channels(timing, begins[:-1])
    done = np.full(len(addresses), NEVER)
    _drive(
        addresses, requests, times, places, begins[:-1].copy(), group, accepted, outstanding, until, mapped, timing,
        policy, states, done,
    )  # fmt: skip
    return picked(times, places), picked(done, places), states[:, COUNTED].copy(), states[:, FINISH].copy()


@kernel
def _drive(
    addresses: Ints,
    requests: Ints,
    times: Ints,
    places: NDArray[np.uint32],
    ends: Ints,
    group: int,
    accepted: int,
    outstanding: int,
    until: int,
    mapped: Mapping,
    timing: Timing,
    policy: Policy,
    states: Ints,
    done: Ints,
) -> None:
    """Fill ``times`` and ``done``, by place, and leave the channels at clock ``until``."""
    never, none = int(np.int64(NEVER)), int(np.int64(-1))  # of one type with what else stands there: compiled once
    n = len(addresses)
    latest = np.zeros(len(ends), np.int64)  # what a channel accepts, it accepts in order
    clock = 0
    stopped = False
    for first in range(0, n, group):
        offered = clock
        for i in range(first, min(first + group, n)):
            before = i - outstanding
            if outstanding > 0 and before >= 0:
                awaited = places[u(before)]
                c = channel_of(addresses[u(before)], mapped)
                if done[u(awaited)] == NEVER:
                    run_channel(requests, times, ends[c], until, never, awaited, timing, policy, states[c], done)
                offered = max(offered, done[u(awaited)])  # NEVER where it is not done in time
            c = channel_of(addresses[u(i)], mapped)
            at = max(offered, latest[c])
            if ends[c] - states[c, TAKEN] >= accepted:
                run_channel(requests, times, ends[c], at - 1, never, none, timing, policy, states[c], done)
            if ends[c] - states[c, TAKEN] >= accepted:
                wanted = ends[c] - accepted + 1
                run_channel(requests, times, ends[c], until, wanted, none, timing, policy, states[c], done)
                at = max(at, states[c, CLOCK]) if states[c, TAKEN] >= wanted else NEVER
            if at > until:
                stopped = True
                break
            times[u(places[u(i)])] = latest[c] = at
            ends[c] += 1
            clock = max(clock, at)
        if stopped:
            break
        clock += 1
    for c in range(len(ends)):
        run_channel(requests, times, ends[c], until, never, none, timing, policy, states[c], done)
