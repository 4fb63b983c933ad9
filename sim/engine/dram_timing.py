"""What a DRAM channel may do when: the times that the controller's engine obeys, and its closed forms.

All times are whole clocks of the part. A channel has 2**rank_bits ranks (of an HBM3 stack: stack
identifiers) of 2**group_bits bank groups of 2**bank_bits banks.
"""

from __future__ import annotations

from typing import NamedTuple

MAX_BANKS = 64
"""Banks of a channel: one bit each in a mask."""
MAX_WINDOW = 64
"""Requests that a queue may choose from, and the farthest that it looks past the oldest."""
NEVER = 1 << 56
"""Later than any event."""


class Timing(NamedTuple):
    """One channel; the names are JEDEC's without the t.

    ``burst`` is how long one request's data take; ``cl`` and ``cwl`` run from a column command to its data;
    ``ccd_r`` from a column command to one of another rank; ``turnaround`` is what the bus idles between a
    read's data and a write's. ``refi`` runs from one refresh of a rank to the next, each taking
    ``rfc`` and all its banks, or (``per_bank``) one of them in turn; ``rfc`` 0: no refresh. The engine takes
    ``rc`` to cover ``ras`` and ``rp``, and ``ccd_r`` to be no less than ``ccd_s``, that no less than ``burst``.
    """

    rank_bits: int
    group_bits: int
    bank_bits: int
    burst: int
    cl: int
    cwl: int
    rcd_read: int
    rcd_write: int
    rp: int
    ras: int
    rc: int
    wr: int
    rtp: int
    ccd_s: int
    ccd_l: int
    ccd_r: int
    rrd_s: int
    rrd_l: int
    wtr_s: int
    wtr_l: int
    faw: int
    turnaround: int
    rfc: int
    refi: int
    per_bank: int

    @property
    def banks(self) -> int:
        """Banks of the channel."""
        return 1 << (self.rank_bits + self.group_bits + self.bank_bits)


class Policy(NamedTuple):
    """How the controller chooses.

    Reads are picked from a window of the ``window`` oldest, writes from a queue of ``write_queue``. Writes are
    served once there are ``drain_high`` until no more than ``drain_low`` are left and a read is pending, and
    whenever no read is. When ``age_cap`` younger requests have passed the oldest, its bank serves it next.

    The sizes are those of gem5's controller (32 reads, 64 writes), recalled; where draining begins and ends
    and the cap are assumed.
    """

    window: int = 32
    write_queue: int = 64
    drain_high: int = 48
    drain_low: int = 16
    age_cap: int = 32


def without_refresh(timing: Timing) -> Timing:
    """The same part, never refreshed."""
    return timing._replace(rfc=0)


def hit_latency(timing: Timing) -> int:
    """Clocks from a read's column command to its last data: no read takes fewer."""
    return timing.cl + timing.burst


def miss_latency(timing: Timing) -> int:
    """Clocks of a read whose bank is closed and idle."""
    return timing.rcd_read + hit_latency(timing)


def conflict_latency(timing: Timing) -> int:
    """Clocks of a read whose bank is idle with another row open."""
    return timing.rp + miss_latency(timing)
