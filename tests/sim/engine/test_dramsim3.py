"""Does DRAMsim3's convention decide as DRAMsim3 does, keep the standard's times, and equal its plain reference?

Its counts over whole runs stand beside DRAMsim3's own in ``tests/sim/test_memory.py``; here are the single cases.
"""

from __future__ import annotations

import numpy as np
import pytest

from siloom.reports.experiments.dram import CYCLES, simulate_convention
from siloom.sim.engine.dram_mapping import Mapping, mapping
from siloom.sim.engine.dram_timing import NEVER, Timing, miss_latency
from siloom.sim.engine.dramsim3 import COUNTS, CommandQueues, drive
from siloom.sim.engine.dramsim3_reference import drive_reference
from siloom.sim.errors import InputError, UsageError
from siloom.sim.memory import PARTS, Served, address_mapping, drive_dramsim3, part

DDR4 = part("ddr4-2400-dramsim3").timing
ROW = 1 << 18  # bytes from a row of a bank to its next, under the default mapping


def run(addresses: object, writes: object = False, cycles: int = 20_000, **given: object) -> Served:
    return drive_dramsim3("ddr4-2400-dramsim3", addresses, writes, cycles=cycles, **given)  # type: ignore[arg-type]


def test_a_read_of_an_idle_memory() -> None:
    # Accepted after the first clock, queued in the next, its row opened in the one after that.
    alone = run([0])
    assert alone.accepted[0] == 1
    assert alone.done[0] == 2 + miss_latency(DDR4)
    assert alone.counts["activates"] == alone.counts["reads"] == 1


def test_rows_in_conflict_wait_for_the_first_rows_whole_cycle() -> None:
    both = run([0, ROW])
    assert both.done[1] - both.done[0] == DDR4.rc
    assert (both.counts["precharges"], both.counts["read_hits"]) == (1, 0)


def test_a_row_is_closed_after_four_columns_though_others_hit_it() -> None:
    # Hits of four banks in turn, so that a bank's columns leave room to close it, and one of another row.
    hits = [(column << 10) + (group << 6) for column in range(8) for group in range(4)]
    rows = {}
    for limit in (4, 100):
        served = run([0, ROW, *hits[4:]], queues=CommandQueues(row_hits=limit))
        rows[limit] = served.counts["activates"]
        bank = [0, 1, *range(2, 30, 4)]  # those of the bank that both rows are of
        before = int((served.done[bank] < served.done[1]).sum())
        assert before == (4 if limit == 4 else 8)
    assert rows == {4: 6, 100: 5}  # opened again for the hits that were left


def test_a_read_of_what_is_being_written_is_answered_by_the_buffer() -> None:
    served = run([0, 0], [True, False])
    assert served.done[1] == served.accepted[1] + 1
    assert served.counts["reads"] == 0


def test_a_write_of_what_is_being_written_goes_once() -> None:
    served = run([0] * 40, True)
    assert (served.done[1:] == served.accepted[1:] + 1).all()
    assert served.done[0] == NEVER  # alone it stays in the buffer
    assert served.counts["writes"] == 0


def test_reads_of_the_same_burst_are_done_together() -> None:
    served = run([0, 0, 0, 64])
    assert served.counts["reads"] == 2
    assert len(set(served.done[:3].tolist())) == 1


def test_a_write_waits_for_the_read_before_it() -> None:
    # Reads of one bank's rows, then as many writes of the same bursts as the buffer has: none may pass its read.
    places = np.arange(32) * ROW
    served = run(np.concatenate([places, places]), np.repeat([False, True], 32), cycles=200_000)
    assert (served.done < NEVER).all()
    assert (served.done[32:] > served.done[:32]).all()


def test_two_addresses_of_a_burst_are_two_requests_as_in_dramsim3() -> None:
    assert run([0, 8]).counts["reads"] == 2
    written = run([0, 8], [True, False])
    assert written.counts["reads"] == 1
    # A write stays behind the read of its burst in its bank's queue, though after another write it could go first.
    queues = CommandQueues(transactions=1)
    ordered = run([0, 256, 256 + 8], [True, False, True], queues=queues)
    assert ordered.done[2] > ordered.done[1]
    free = run([0, 256, 512 + 8], [True, False, True], queues=queues)
    assert free.done[2] < free.done[1]


def test_no_read_is_queued_while_the_oldest_write_waits_for_a_queued_read() -> None:
    served = run([0, 0, 64], [False, True, False], queues=CommandQueues(transactions=1))
    moved = served.done[0] - DDR4.cl - DDR4.burst
    assert served.accepted[2] < moved
    assert served.done[2] > moved + miss_latency(DDR4)


def test_writes_are_drained_once_the_buffer_is_full_or_the_queues_are_empty() -> None:
    assert (run(np.arange(8) * 64, True).done == NEVER).all()
    idle = run(np.arange(9) * 64, True)
    assert (idle.done < NEVER).all()


@pytest.mark.parametrize("name", [n for n in PARTS if not (part(n).timing.per_bank and part(n).timing.rfc)])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_no_run_beats_the_parts_bounds(name: str, share: float) -> None:
    found, t = part(name), part(name).timing
    rng = np.random.default_rng(7)
    addresses = rng.integers(0, found.capacity_bytes // found.burst_bytes, 20_000) * found.burst_bytes
    writes = rng.random(20_000) < share
    cycles = 12_000
    served = drive_dramsim3(name, addresses, writes, cycles=cycles)
    reached = (served.done < NEVER) & (served.done > served.accepted + 1)
    assert reached.sum() > 1000
    reads = reached & ~writes
    assert (served.done - served.accepted)[reads].min() >= t.cl + t.burst
    channel = (addresses >> address_mapping(found).channel_at) & (found.channels - 1)
    for c in range(found.channels):
        ends = np.sort(served.done[reached & (channel == c)])
        assert np.diff(ends).min(initial=t.burst) >= t.burst  # one burst after the other on the bus
    ranks = 1 << t.rank_bits
    assert served.counts["activates"] <= found.channels * ranks * 4 * (cycles // t.faw + 1)
    assert served.counts["refreshes"] == found.channels * ranks * (cycles // t.refi) + found.channels * (
        cycles % t.refi // (t.refi >> t.rank_bits)
    )


def test_hbms_latencies_by_channel_are_the_published_range() -> None:
    # 83 to 86 and 364 to 403 clocks were published of channels that are not named: here of the first two.
    for case, low, high in (("hbm2 stream", 83, 86), ("hbm2 random", 364, 403)):
        served = simulate_convention(case)
        means = channel_latencies(case, served)
        assert sorted(round(m) for m in means[:2]) == [low, high]


def channel_latencies(case: str, served: Served) -> list[float]:
    from siloom.reports.experiments.dram import _driver

    name, addresses, writes, mapping, _ = _driver(case, CYCLES)
    channel = (addresses >> address_mapping(part(name), mapping).channel_at) & (served.part.channels - 1)
    reads = (served.done < CYCLES) & ~writes
    return [float((served.done - served.accepted)[reads & (channel == c)].mean()) for c in range(served.part.channels)]


def test_a_run_that_is_over_ends() -> None:
    short, long = run([0, 64]), run([0, 64], cycles=1 << 40)
    assert (short.done == long.done).all()


def test_an_empty_stream_is_none() -> None:
    empty = run([])
    assert empty.cycles == empty.bytes_per_s == 0


@pytest.mark.parametrize(
    "call,message",
    [
        (lambda: run([-64]), "addresses must be at least 0, got -64"),
        (lambda: run([0], cycles=-1), "cycles must be between 0 and"),
        (lambda: run([0], group=0), "group must be between 1 and"),
        (lambda: run([0], queues=CommandQueues(commands=0)), "commands must be between 1 and"),
        (lambda: run([0], queues=CommandQueues(pairs=2)), "pairs must be between 0 and 1, got 2"),
        (lambda: run([0], queues=CommandQueues(transactions=1 << 40)), "transactions must be between 1 and 4096"),
        (lambda: run([0], queues=CommandQueues(commands=1 << 50)), "commands must be between 1 and 4096"),
        (lambda: run([0], mapping="RoCo"), "address mapping must be made of"),
        (lambda: drive_dramsim3("hbm3-6.4", [0], cycles=9), "no refresh bank by bank"),
    ],
)
def test_what_cannot_be_run_is_refused(call: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()  # type: ignore[operator]


def test_unknown_parts_are_refused() -> None:
    with pytest.raises(UsageError, match="no memory part"):
        drive_dramsim3("ddr9", [0], cycles=9)


# Equal to the reference.


def random_timing(rng: np.random.Generator) -> Timing:
    def between(low: int, high: int) -> int:
        return int(rng.integers(low, high + 1))

    burst, cl, rp, ras = int(rng.choice([2, 4])), between(8, 22), between(5, 20), between(10, 40)
    ranks, rfc = between(0, 2), int(rng.choice([0, 30, 60]))
    return Timing(
        rank_bits=ranks, group_bits=between(0, 2), bank_bits=between(0, 2), burst=burst, cl=cl, cwl=between(3, cl),
        rcd_read=between(5, 20), rcd_write=between(5, 20), rp=rp, ras=ras, rc=ras + rp + between(0, 3),
        wr=between(3, 20), rtp=between(2, 9), ccd_s=burst, ccd_l=burst + between(0, 4), ccd_r=burst,
        rrd_s=between(2, 6), rrd_l=between(6, 8), wtr_s=between(1, 5), wtr_l=between(5, 10), faw=between(8, 60),
        turnaround=between(0, 3), rfc=rfc, refi=(rfc + between(60, 200)) << ranks, per_bank=0,
    )  # fmt: skip


def random_case(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, Mapping, Timing, CommandQueues, int, int]:
    """Addresses, their bursts, writes, mapping, timing, queues, group, cycles: a crowd on few addresses or on all."""
    rng = np.random.default_rng(seed)
    timing = random_timing(rng)
    widths = {
        "Ch": int(rng.integers(0, 3)), "Ra": timing.rank_bits, "Bg": timing.group_bits, "Ba": timing.bank_bits,
        "Ro": 3, "Co": 2,
    }  # fmt: skip
    names = ("RoBaRaCoBgCh", "RoChRaBaBgCo", "RoRaBgBaChCo", "RoBaRaCoBgCh^", "CoChRaBgBaRo")
    bursts, n = 1 << sum(widths.values()), int(rng.integers(1, 150))
    addresses = 64 * rng.integers(0, int(rng.choice([2, 8, 64, bursts])), n) % (64 * bursts)
    addresses += 16 * rng.integers(0, int(rng.choice([1, 3])), n)  # within a burst
    addresses += 64 * bursts * rng.integers(0, int(rng.choice([1, 2])), n)  # beyond the part
    writes = rng.random(n) < float(rng.choice([0.0, 0.3, 0.5, 0.8, 1.0]))
    transactions = int(rng.choice([1, 2, 3, 8, 32]))
    queues = CommandQueues(
        transactions=transactions, commands=int(rng.choice([1, 2, 3, 8])), row_hits=int(rng.choice([1, 2, 4, 9])),
        idle_writes=int(rng.choice([0, 1, transactions, 8])), pairs=int(rng.random() < 0.4),
    )  # fmt: skip
    cells = addresses % (64 * bursts) // 64
    group, cycles = int(rng.choice([1, 2, 3, 7, 1000])), int(rng.choice([0, 1, 7, 300, 20_000, 20_000]))
    return addresses, cells, writes, mapping(str(rng.choice(names)), 6, widths), timing, queues, group, cycles


def random_run(seed: int, *, strict: bool = False, cycles: int | None = None) -> tuple[tuple, tuple]:
    """What the engine and the reference make of a random case."""
    addresses, cells, writes, mapped, timing, queues, group, limit = random_case(seed)
    limit = limit if cycles is None else cycles
    accepted, done, counts = drive(addresses, cells, writes, mapped, timing, queues, group=group, cycles=limit)
    engine = accepted.tolist(), done.tolist(), [dict(zip(COUNTS, c, strict=True)) for c in counts.tolist()]
    stream = addresses.tolist(), cells.tolist(), writes.tolist()
    return engine, drive_reference(*stream, mapped, timing, queues, group=group, cycles=limit, strict=strict)


@pytest.mark.parametrize("block", range(5))
def test_every_acceptance_completion_and_count_equals_the_plain_reference(block: int) -> None:
    for seed in range(block * 200, (block + 1) * 200):
        engine, reference = random_run(seed)
        assert engine == reference, seed


def test_random_runs_exercise_every_count() -> None:
    total = dict.fromkeys(COUNTS, 0)
    for seed in range(200):
        for counts in random_run(seed)[1][2]:
            total = {name: total[name] + counts[name] for name in COUNTS}
    assert min(total.values()) > 20


def test_it_goes_on_only_where_dramsim3_stands_still_for_ever() -> None:
    stuck = 0
    for seed in range(150):
        engine, strict = random_run(seed, strict=True, cycles=6000)
        if engine == strict:
            continue
        stuck += 1
        same, differ = 0, 6000  # the first clock that tells them apart
        while differ - same > 1:
            middle = (same + differ) // 2
            engine, strict = random_run(seed, strict=True, cycles=middle)
            same, differ = (middle, differ) if engine == strict else (same, middle)
        moved = [
            [(c["reads"], c["writes"]) for c in random_run(seed, strict=True, cycles=differ + later)[1][2]]
            for later in (3000, 6000)
        ]
        assert moved[0] == moved[1], seed
    assert stuck > 10
