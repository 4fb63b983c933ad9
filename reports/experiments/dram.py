"""DRAM: DRAMsim3's own drivers and files on our controllers, beside what DRAMsim3 was measured to do.

On two controllers: that which decides as DRAMsim3 does (:mod:`siloom.sim.engine.dramsim3`), whose counts must be
the same, and the default one of all machines, whose difference is then one of queues and choices alone.

The drivers as DRAMsim3 has them (src/cpu.cc): ``stream`` adds two arrays of 2 MiB into a third, a read, a
read and a write of 64 bytes offered each clock until all three are accepted, at three addresses drawn anew
for each array; ``random`` offers one request a clock to an address drawn anew, every third one a write in
the mean. Addresses are drawn from the C++ standard library's ``mt19937_64`` with its default seed, so ours are
the same. Mappings, too, are those of its files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siloom.reports.reproduce import Published, Table, published
from siloom.sim.memory import (
    PARTS,
    Policy,
    Served,
    drive,
    drive_dramsim3,
    idle_latency_s,
    part,
    stream_bytes_per_s,
)

CYCLES = 1_000_000
"""Memory clocks of a run, as DRAMsim3's were measured."""
ACCEPTED = 16
"""Requests that a channel of the default controller takes beyond its queues: assumed."""
POLICY = Policy()
"""Our default; its sizes are not DRAMsim3's, which has 32 reads and 32 writes before queues of 8 a bank."""
_DRAINED = Policy(window=32, write_queue=32, drain_high=32, drain_low=0)
OTHERS = {
    "reads 32, writes 64 from 48 to 16 (default)": (POLICY, ACCEPTED),
    "the same, nothing accepted beyond": (POLICY, 1),
    "the same, 32 accepted beyond": (POLICY, 32),
    "reads 16, writes 32 from 32 to 16": (_DRAINED._replace(window=16, drain_low=16), ACCEPTED),
    "reads 32, writes 32 from 32 to 16": (_DRAINED._replace(drain_low=16), ACCEPTED),
    "reads 32, writes 32 from 32 to 0": (_DRAINED, ACCEPTED),
    "reads 64, writes 64 from 64 to 32": (Policy(window=64, write_queue=64, drain_high=64, drain_low=32), ACCEPTED),
}
_MAPPINGS = {"hbm2": "RoRaBgBaChCo"}
_MAPPING = "RoChRaBaBgCo"
_ARRAY_BYTES, _STEP_BYTES = 2 << 20, 64
_ADDRESSES = (1 << 62) - 1  # more than any part has: the bits above it are not looked at


def tables(matrices: Path | None, watch: Callable[[str], None]) -> Iterator[Table]:
    """All tables; ``watch`` is told of each run, ``matrices`` is not used."""
    points = published("dram")
    cases = list(dict.fromkeys(p.case for p in points))
    runs: dict[str, Served] = {}
    for case in cases:
        watch(f"dram: {case}")
        runs[case] = simulate(case)
    watch("dram: DRAMsim3's convention")
    convention = {case: simulate_convention(case) for case in cases}
    yield _to_the_digit(points, convention)
    yield _beside(points, runs, convention)
    yield _clocks(runs)
    yield _policies(points, cases, watch)
    watch("dram: sustained rates")
    yield _sustained()


def simulate(case: str, policy: Policy = POLICY, accepted: int = ACCEPTED, cycles: int = CYCLES) -> Served:
    """One of DRAMsim3's drivers (``hbm2 stream``) on the part of its file, by the default controller."""
    name, addresses, writes, mapping, group = _driver(case, cycles)
    return drive(name, addresses, writes, mapping=mapping, policy=policy, group=group, accepted=accepted, cycles=cycles)


def simulate_convention(case: str, cycles: int = CYCLES) -> Served:
    """The same as DRAMsim3 decides."""
    name, addresses, writes, mapping, group = _driver(case, cycles)
    return drive_dramsim3(name, addresses, writes, mapping=mapping, group=group, cycles=cycles)


def _driver(case: str, cycles: int) -> tuple[str, NDArray[np.int64], NDArray[np.bool_], str, int]:
    """Part, addresses [n], which are writes [n], mapping, and how many are offered together."""
    kind, driver = case.split()
    name = f"{kind}-dramsim3"
    found = part(name)
    fastest = -(-cycles * found.channels // found.timing.burst)  # bursts that the pins could move
    addresses, writes = _stream(min(fastest, 3 * cycles)) if driver == "stream" else _random(min(fastest, cycles))
    return name, addresses, writes, _MAPPINGS.get(kind, _MAPPING), 3 if driver == "stream" else 1


def bandwidth(served: Served, cycles: int = CYCLES) -> float:
    """GB/s of what was done within the run."""
    done = int((served.done <= cycles).sum())
    return done * served.part.burst_bytes / (cycles * served.part.clock_s) / 1e9


def _stream(requests: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Addresses [n] of read, read, write; which are writes [n]."""
    steps = _ARRAY_BYTES // _STEP_BYTES
    sets = -(-requests // (3 * steps))
    bases = (mt19937_64(3 * sets) & np.uint64(_ADDRESSES)).astype(np.int64).reshape(sets, 1, 3)
    addresses = bases + (np.arange(steps) * _STEP_BYTES)[None, :, None]
    return addresses.reshape(-1), np.tile([False, False, True], sets * steps)


def _random(requests: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Addresses [n]; which are writes [n]."""
    drawn = mt19937_64(2 * requests).reshape(-1, 2)
    return (drawn[:, 0] & np.uint64(_ADDRESSES)).astype(np.int64), drawn[:, 1] % np.uint64(3) == 0


@lru_cache(maxsize=4)
def mt19937_64(count: int, seed: int = 5489) -> NDArray[np.uint64]:
    """The first ``count`` numbers of C++'s ``std::mt19937_64`` (Nishimura, ACM TOMACS 2000, MT19937-64)."""
    size, middle, word = 312, 156, (1 << 64) - 1
    start = [seed]
    for i in range(1, size):
        start.append((6364136223846793005 * (start[-1] ^ (start[-1] >> 62)) + i) & word)
    state = np.array(start, np.uint64)
    blocks = []
    for _ in range(-(-count // size)):
        fresh = state.copy()
        fresh[: size - middle] = state[middle:] ^ _twist(state[: size - middle], state[1 : size - middle + 1])
        fresh[size - middle : -1] = fresh[: middle - 1] ^ _twist(state[size - middle : -1], state[size - middle + 1 :])
        fresh[-1:] = fresh[middle - 1] ^ _twist(state[-1:], fresh[:1])
        state = fresh
        drawn = state.copy()
        drawn ^= (drawn >> np.uint64(29)) & np.uint64(0x5555555555555555)
        drawn ^= (drawn << np.uint64(17)) & np.uint64(0x71D67FFFEDA60000)
        drawn ^= (drawn << np.uint64(37)) & np.uint64(0xFFF7EEE000000000)
        blocks.append(drawn ^ (drawn >> np.uint64(43)))
    return np.concatenate(blocks)[:count]


def _twist(upper: NDArray[np.uint64], lower: NDArray[np.uint64]) -> NDArray[np.uint64]:
    joined = (upper & np.uint64(0xFFFFFFFF80000000)) | (lower & np.uint64(0x7FFFFFFF))
    odd = np.where(joined & np.uint64(1), np.uint64(0xB5026F5AA96619E9), np.uint64(0))
    return (joined >> np.uint64(1)) ^ odd


def _percent(share: float) -> str:
    return f"{share:+.1%}"


def _value(points: list[Published], case: str, quantity: str) -> float:
    return next(p.value for p in points if p.case == case and p.quantity == quantity)


def _counted(case: str, served: Served) -> dict[str, float]:
    """What DRAMsim3 counts of a run: it takes a write for done once it has been acknowledged, the clock after."""
    reads = _reads(case, served)
    writes = _writes(case, served) & (served.accepted < CYCLES)
    done = int(reads.sum())
    moved = (done + int(writes.sum())) * served.part.burst_bytes
    return {
        "bandwidth": moved / (CYCLES * served.part.clock_s) / 1e9,
        "reads": done,
        "read_latency": float((served.done - served.accepted)[reads].mean()),
        "read_row_hits": served.counts["read_hits"],
        "activates": served.counts["activates"],
        "refreshes": served.counts["refreshes"],
    }


def _to_the_digit(points: list[Published], runs: dict[str, Served]) -> Table:
    """The convention's counts beside those of DRAMsim3."""
    counted = {case: _counted(case, served) for case, served in runs.items()}
    rows: list[dict[str, Any]] = []
    for p in points:
        ours = counted[p.case][p.quantity]
        rows.append(
            {
                "case": p.case,
                "quantity": p.quantity,
                "unit": p.unit,
                "dramsim3": p.value if p.unit else int(p.value),
                "simulated": ours,
                "error": _percent(ours / p.value - 1),
            }
        )
    return Table(
        "DRAM: DRAMsim3's convention, its drivers for 1,000,000 clocks",
        rows,
        (
            "drive_dramsim3 of sim/memory.py: 32 reads and 32 writes before queues of 8 a bank. Commands are the same",
            "to the last, rates and latencies as far as they were printed. HBM2's latencies were printed as a range of",
            "which the middle stands here: 83 to 86 and 364 to 403, which the first two of its channels have here.",
        ),
    )


def _beside(points: list[Published], runs: dict[str, Served], convention: dict[str, Served]) -> Table:
    rows: list[dict[str, Any]] = []
    for case, served in runs.items():
        known = _value(points, case, "bandwidth")
        reads, theirs = _reads(case, served), _reads(case, convention[case])
        ours = bandwidth(served)
        rows.append(
            {
                "case": case,
                "dramsim3_gb_per_s": known,
                "default_gb_per_s": ours,
                "error": _percent(ours / known - 1),
                "dramsim3_latency": _value(points, case, "read_latency"),
                "default_latency": float((served.done - served.accepted)[reads].mean()),
                "dramsim3_reads_held": _held(convention[case], theirs),
                "default_reads_held": _held(served, reads),
            }
        )
    return Table(
        "DRAM: the default controller under the same drivers; GB/s, clocks",
        rows,
        (
            f"the default queues ({_words(POLICY)}), {ACCEPTED} more accepted in order (assumed);",
            "no timing differs from the files and nothing is fitted. What the queues move says table 4.",
            "A driver that never waits fills whatever queues there are, so the latency is theirs: reads held, of a",
            "channel in the mean, over reads a clock (Little's law). DRAMsim3 holds up to 32 and 8 a bank, ours a",
            f"window of {POLICY.window} and what waits before it. Where our writes hold the bus to the last (32 to 0),",
            "random ones wait for busy banks at each end.",
        ),
    )


def _writes(case: str, served: Served) -> NDArray[np.bool_]:
    """Which requests of a run are writes [n]."""
    n = len(served.done)
    _, writes = _stream(n) if case.endswith("stream") else _random(n)
    return writes[:n]


def _reads(case: str, served: Served) -> NDArray[np.bool_]:
    """Which are reads that were done, and seen to be, within the run [n]."""
    return (served.done < CYCLES) & ~_writes(case, served)


def _held(served: Served, reads: NDArray[np.bool_]) -> float:
    """Reads that a channel holds in the mean: what they wait in all over the run."""
    return float((served.done - served.accepted)[reads].sum()) / (CYCLES * served.part.channels)


def _words(policy: Policy) -> str:
    return (
        f"a window of {policy.window} reads, {policy.write_queue} writes served from {policy.drain_high} to "
        f"{policy.drain_low}, age cap {policy.age_cap}"
    )


def _clocks(runs: dict[str, Served]) -> Table:
    """Where the data bus's clocks go, of all channels."""
    rows: list[dict[str, Any]] = []
    for case, served in runs.items():
        whole = CYCLES * served.part.channels
        bursts = served.counts["reads"] + served.counts["writes"]
        shares: dict[str, Any] = {"case": case, "data": f"{bursts * served.part.timing.burst / whole:.1%}"}
        for cause, clocks in served.counts.items():
            if cause.startswith("wait_"):
                shares[cause.removeprefix("wait_")] = f"{clocks / whole:.1%}"
        shares["turnarounds"] = served.counts["turnarounds"]
        shares["row_hits"] = f"{served.counts['hits'] / bursts:.2%}"
        rows.append(shares)
    return Table(
        "DRAM: where the clocks of the data bus go",
        rows,
        ("request: nothing to serve; row: tRCD, tRP, tRC; activate: tRRD, tFAW; group: tCCD_L.",),
    )


def _policies(points: list[Published], cases: list[str], watch: Callable[[str], None]) -> Table:
    """The errors under other queues: what the choice among them moves."""
    rows = []
    for words, (policy, accepted) in OTHERS.items():
        row = {"queues": words}
        for case in cases:
            watch(f"dram: {case}, {words}")
            known = _value(points, case, "bandwidth")
            row[case] = _percent(bandwidth(simulate(case, policy, accepted)) / known - 1)
        rows.append(row)
    return Table("DRAM: error of the bandwidth under other queues", rows)


def _sustained() -> Table:
    """What the parts give a sequential stream, by JEDEC's times."""
    rows = []
    for name in PARTS:
        found = part(name)
        row: dict[str, Any] = {"part": name, "peak_gb_per_s": found.peak_bytes_per_s / 1e9}
        for words, share in (("reads", 0.0), ("a third writes", 1 / 3), ("writes", 1.0)):
            row[words] = f"{stream_bytes_per_s(name, 1, share) / found.peak_bytes_per_s:.1%}"
        row["idle_latency_ns"] = idle_latency_s(name) * 1e9
        rows.append(row)
    return Table("DRAM: share of the peak that sequential streams reach (default queues and mapping)", rows)
