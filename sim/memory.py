"""Memory parts by name: what they sustain, how long they take to answer, and request streams on them.

A part is one DDR channel of 64 bits or one HBM stack; its times stand in ``cost/dram_parts.csv``. The
engine behind is :mod:`siloom.sim.engine.dram_controller`. Energy is in :mod:`siloom.sim.cost.dram_energy`.

    >>> round(stream_bytes_per_s("ddr4-2400") / part("ddr4-2400").peak_bytes_per_s, 2)  # refresh takes 5 %
    0.95
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from siloom.sim.cost import table
from siloom.sim.engine.dram_timing import MAX_WINDOW, NEVER, Policy, Timing, miss_latency, without_refresh
from siloom.sim.errors import InputError, UsageError, did_you_mean

if TYPE_CHECKING:
    from typing import TypeVar

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from siloom.sim.engine.dram_mapping import Mapping
    from siloom.sim.engine.dramsim3 import CommandQueues

    T = TypeVar("T", bound=np.generic)

__all__ = [
    "DEFAULT_MAPPING", "PARTS", "MemoryPart", "Policy", "Served", "address_mapping", "drive", "drive_dramsim3",
    "idle_latency_s", "part", "serve", "stream_bytes_per_s", "write_costs",
]  # fmt: skip

PARTS: tuple[str, ...] = tuple(dict.fromkeys(owner for owner, _ in table("dram_parts")))
"""Names of the parts; those that end with -dramsim3 are that tool's own files."""
DEFAULT_MAPPING = "RoBaRaCoBgCh"
"""Bursts go round channels and bank groups, then along a row: what sequential streams want."""
_REFRESHES = 64
"""A sustained rate is taken over so many refreshes of every bank."""
_LEAST_BURSTS = 20_000
_MOST_REQUESTS = 2**32
"""Places in a stream are sorted as 32-bit words."""
_MOST_PLACES = 1 << 12
"""Of a queue that is searched every clock: far more than a controller has."""
_SHARES = 16
"""Steps of the share of writes in :func:`write_costs`."""


@dataclass(frozen=True)
class MemoryPart:
    """One memory part: ``channels`` independent channels (pseudo-channels of HBM) of ``timing``."""

    name: str
    clock_s: float
    channels: int
    burst_bytes: int
    row_bytes: int
    rows: int
    timing: Timing

    @property
    def peak_bytes_per_s(self) -> float:
        """What all pins move together."""
        return self.channels * self.burst_bytes / (self.timing.burst * self.clock_s)

    @property
    def capacity_bytes(self) -> int:
        """Bytes that the part holds."""
        return self.channels * self.timing.banks * self.rows * self.row_bytes


@dataclass(frozen=True)
class Served:
    """What became of a stream of n requests.

    ``accepted`` and ``done`` [n] are clocks: taken by the memory, and of the last data; those that a run
    cut short did not reach are at least ``NEVER``. ``counts`` are summed over the channels, see ``COUNTS`` of
    :mod:`siloom.sim.engine.dram_channel`; ``channel_cycles`` [channels]: when each one's last data end.
    """

    part: MemoryPart
    accepted: NDArray[np.int64]
    done: NDArray[np.int64]
    counts: dict[str, int]
    channel_cycles: NDArray[np.int64]

    @property
    def cycles(self) -> int:
        """Clocks until the last data of all."""
        return int(self.channel_cycles.max(initial=0))

    @property
    def bytes_per_s(self) -> float:
        """Rate of the whole stream; 0 of an empty one."""
        moved = int((self.done < NEVER).sum()) * self.part.burst_bytes
        return moved / (self.cycles * self.part.clock_s) if moved else 0.0


@lru_cache
def part(name: str) -> MemoryPart:
    """A part by name.

    Raises:
        UsageError: no such part.
    """
    if name not in PARTS:
        raise UsageError(f"no memory part '{name}'{did_you_mean(name, PARTS)}")
    rows = {field: entry.value for (owner, field), entry in table("dram_parts").items() if owner == name}
    bits = {field: int(rows.pop(field)).bit_length() - 1 for field in ("ranks", "bank_groups", "banks")}
    per_bank = int(rows.pop("per_bank_refresh"))
    values = {field: int(rows[field]) for field in Timing._fields if field in rows}
    if per_bank:  # every bank of a rank once in tREFI
        values |= {"rfc": int(rows["rfc_bank"]), "refi": int(rows["refi"]) >> (bits["bank_groups"] + bits["banks"])}
    values["rc"] = max(values["rc"], values["ras"] + values["rp"])  # each is rounded up to clocks by itself
    timing = Timing(
        rank_bits=bits["ranks"], group_bits=bits["bank_groups"], bank_bits=bits["banks"], per_bank=per_bank, **values
    )
    return MemoryPart(
        name=name,
        clock_s=rows["clock_s"],
        channels=int(rows["channels"]),
        burst_bytes=int(rows["burst_bytes"]),
        row_bytes=int(rows["row_bytes"]),
        rows=int(rows["rows"]),
        timing=timing,
    )


def address_mapping(found: MemoryPart, name: str = DEFAULT_MAPPING, parts: int = 1) -> Mapping:
    """The address mapping called ``name`` over ``parts`` equal parts, a power of two of them.

    Raises:
        InputError: a name that is no mapping, or a number of parts that is no power of two.
    """
    from siloom.sim.engine.dram_mapping import mapping

    if parts < 1 or parts & (parts - 1):
        raise InputError(f"memory {found.name}: parts must be a power of two, got {parts}")
    timing = found.timing
    widths = {
        "Ch": _log2(found.channels * parts), "Ra": timing.rank_bits, "Bg": timing.group_bits, "Ba": timing.bank_bits,
        "Ro": _log2(found.rows), "Co": _log2(found.row_bytes // found.burst_bytes),
    }  # fmt: skip
    try:
        return mapping(name, _log2(found.burst_bytes), widths)
    except ValueError as error:
        raise InputError(f"memory {found.name}: {error}") from None


def _log2(number: int) -> int:
    return number.bit_length() - 1


def check_policy(policy: Policy) -> None:
    """Refuse a policy that cannot work.

    Raises:
        InputError: a field out of its range.
    """
    for field, low, high in (
        ("window", 2, MAX_WINDOW),
        ("write_queue", 2, MAX_WINDOW),
        ("drain_high", 1, policy.write_queue),
        ("drain_low", 0, policy.drain_high - 1),
        ("age_cap", 1, NEVER),
    ):
        value = getattr(policy, field)
        if not low <= value <= high:
            raise InputError(f"memory policy: {field} must be between {low} and {high}, got {value}")


def _alike(name: str, field: str, values: NDArray[T], where: NDArray[np.int64]) -> NDArray[T]:
    """One value for each address, from one for all or as many."""
    import numpy as np

    if values.ndim and values.shape != where.shape:
        raise InputError(f"memory {name}: {field} must be one or {where.size}, got {values.size}")
    return np.ascontiguousarray(np.broadcast_to(values, where.shape))


def _stream(name: str, addresses: ArrayLike, writes: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Both arrays of a stream, checked."""
    import numpy as np

    where = np.ascontiguousarray(addresses, np.int64)
    if where.ndim != 1:
        raise InputError(f"memory {name}: addresses must have one dimension, got {where.ndim}")
    if where.size >= _MOST_REQUESTS:
        raise InputError(f"memory {name}: a stream must have fewer than 2^32 requests, got {where.size}")
    if where.size and where.min() < 0:
        raise InputError(f"memory {name}: addresses must be at least 0, got {where.min()}")
    return where, _alike(name, "writes", np.asarray(writes, np.bool_), where)


def serve(
    name: str,
    addresses: ArrayLike,
    writes: ArrayLike = False,
    arrivals: ArrayLike = 0,
    *,
    parts: int = 1,
    mapping: str = DEFAULT_MAPPING,
    policy: Policy = Policy(),  # noqa: B008 - a constant
    refresh: bool = True,
) -> Served:
    """Serve a stream of bursts: byte ``addresses`` [n], ``writes`` [n] and ``arrivals`` [n], clocks of the part.

    Raises:
        UsageError: no such part.
        InputError: negative addresses, arrivals that decrease or are out of range, a policy out of range, an
            unknown mapping.
    """
    import numpy as np

    from siloom.sim.engine.dram_channel import COUNTS
    from siloom.sim.engine.dram_driver import replay

    found = part(name)
    check_policy(policy)
    where, which = _stream(name, addresses, writes)
    times = _alike(name, "arrivals", np.asarray(arrivals, np.int64), where)
    if times.size and (times.min() < 0 or times.max() >= NEVER >> 1 or np.any(np.diff(times) < 0)):
        raise InputError(f"memory {name}: arrivals must be from 0 to 2**59 and not decrease")
    timing = found.timing if refresh else without_refresh(found.timing)
    done, counts, ends = replay(where, which, times, address_mapping(found, mapping, parts), timing, policy)
    return Served(found, times, done, dict(zip(COUNTS, counts.sum(axis=0).tolist(), strict=True)), ends)


def drive(
    name: str,
    addresses: ArrayLike,
    writes: ArrayLike = False,
    *,
    parts: int = 1,
    mapping: str = DEFAULT_MAPPING,
    policy: Policy = Policy(),  # noqa: B008 - a constant
    group: int = 1,
    accepted: int = 1,
    outstanding: int = 0,
    cycles: int | None = None,
) -> Served:
    """Offer a stream as fast as it is accepted; see :mod:`siloom.sim.engine.dram_driver` for the limits.

    Raises:
        UsageError: no such part.
        InputError: negative addresses, a limit, a policy or a mapping out of range.
    """
    from siloom.sim.engine.dram_channel import COUNTS
    from siloom.sim.engine.dram_driver import drive as run

    found = part(name)
    check_policy(policy)
    where, which = _stream(name, addresses, writes)
    for field, value, low in (("group", group, 1), ("accepted", accepted, 1), ("outstanding", outstanding, 0)):
        if value < low:
            raise InputError(f"memory {name}: {field} must be at least {low}, got {value}")
    if cycles is not None and not 0 <= cycles < NEVER >> 1:
        raise InputError(f"memory {name}: cycles must be from 0 to 2**59, got {cycles}")
    limit = {} if cycles is None else {"until": cycles}
    taken, done, counts, ends = run(
        where, which, address_mapping(found, mapping, parts), found.timing, policy,
        group=group, accepted=accepted, outstanding=outstanding, **limit,
    )  # fmt: skip
    return Served(found, taken, done, dict(zip(COUNTS, counts.sum(axis=0).tolist(), strict=True)), ends)


def drive_dramsim3(
    name: str,
    addresses: ArrayLike,
    writes: ArrayLike = False,
    *,
    cycles: int,
    mapping: str = DEFAULT_MAPPING,
    queues: CommandQueues | None = None,
    group: int = 1,
) -> Served:
    """Offer a stream as DRAMsim3's drivers do, to the controller of :mod:`siloom.sim.engine.dramsim3`.

    ``counts`` are those of that engine. ``queues``: by default those of DRAMsim3's files. A write that never left
    the controller's buffer within ``cycles`` is not done. ``channel_cycles`` [channels]: see :class:`Served`.

    Raises:
        UsageError: no such part.
        InputError: negative addresses, a limit or a mapping out of range, a part that is refreshed bank by bank.
    """
    import numpy as np

    from siloom.sim.engine.dramsim3 import COUNTS, CommandQueues
    from siloom.sim.engine.dramsim3 import drive as run

    found = part(name)
    if found.timing.per_bank and found.timing.rfc:
        raise InputError(f"memory {name}: DRAMsim3's convention has no refresh bank by bank")
    where, which = _stream(name, addresses, writes)
    queues = CommandQueues(pairs=int(name.startswith("hbm"))) if queues is None else queues
    limits = {"group": group, "cycles": cycles, **queues._asdict()}
    for field, value in limits.items():
        low = 0 if field in ("cycles", "idle_writes", "pairs") else 1
        high = {"pairs": 1, "transactions": _MOST_PLACES, "commands": _MOST_PLACES}.get(field, NEVER >> 1)
        if not low <= value <= high:
            raise InputError(f"memory {name}: {field} must be between {low} and {high}, got {value}")
    mapped = address_mapping(found, mapping)
    cells = where % found.capacity_bytes // found.burst_bytes
    taken, done, counts = run(where, cells, which, mapped, found.timing, queues, group=group, cycles=cycles)
    ends = np.zeros(found.channels, np.int64)
    reached = done < NEVER
    np.maximum.at(ends, (where[reached] >> mapped.channel_at) & (found.channels - 1), done[reached])
    return Served(found, taken, done, dict(zip(COUNTS, counts.sum(axis=0).tolist(), strict=True)), ends)


@lru_cache
def stream_bytes_per_s(name: str, channels: int = 1, write_share: float = 0.0) -> float:
    """Sustained rate of long sequential streams over ``channels`` parts, ``write_share`` of it writes.

    One stream is read and one written, half the memory apart, by the default mapping and policy. Streams
    fill all channels of all parts alike, so one of them is run.

    Raises:
        UsageError: no such part.
        InputError: no part at all, or a share that is none.
    """
    import numpy as np

    from siloom.sim.engine.dram_driver import replay

    if channels < 1:
        raise InputError(f"memory {name}: channels must be at least 1, got {channels}")
    if not 0.0 <= write_share <= 1.0:
        raise InputError(f"memory {name}: write_share must be between 0 and 1, got {write_share}")
    found = part(name)
    timing = found.timing
    rounds = _REFRESHES * (timing.banks if timing.per_bank else 1)
    bursts = max(_LEAST_BURSTS, rounds * timing.refi // timing.burst)
    written = np.floor(np.arange(1, bursts + 1) * write_share).astype(np.int64)
    writes = np.diff(written, prepend=0) > 0
    half = (found.capacity_bytes // found.channels) >> 1
    places = np.where(
        writes, half + (written - 1) * found.burst_bytes, (np.arange(bursts) - written) * found.burst_bytes
    )
    mapped = address_mapping(replace(found, channels=1))
    _, _, finish = replay(places, writes, np.zeros(bursts, np.int64), mapped, timing, Policy())
    share = bursts * timing.burst / int(finish[0])
    return channels * found.peak_bytes_per_s * share


@lru_cache
def write_costs(name: str) -> tuple[float, ...]:
    """A byte's time at shares of writes 0, 1/16, ..., 1 over that of reads alone, at least 1.

    Between two of them in proportion, which is within 4 % of :func:`stream_bytes_per_s` up to a share of 0.9, and
    within 8 % above it. The middle one is taken beside one half: exactly there both streams go through the banks
    in step, always in each other's way, which costs 5 to 17 % more and is no property of the share.

    Raises:
        UsageError: no such part.
    """
    beside = {_SHARES // 2: 0.5 + 1 / 64}
    reads = stream_bytes_per_s(name)
    rates = (stream_bytes_per_s(name, 1, beside.get(i, i / _SHARES)) for i in range(_SHARES + 1))
    return tuple(max(1.0, reads / rate) for rate in rates)


def idle_latency_s(name: str) -> float:
    """Seconds from a read at an idle part, its row closed, to its last data."""
    found = part(name)
    return miss_latency(found.timing) * found.clock_s
