"""Does the controller keep the standard's times, choose as it says, and equal its plain reference?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

from siloom.sim.engine.dram_channel import CLOCK, COUNTED, COUNTS, FINISH, TAKEN, new_channel
from siloom.sim.engine.dram_controller import run_channel
from siloom.sim.engine.dram_controller_reference import serve_reference
from siloom.sim.engine.dram_driver import drive, replay
from siloom.sim.engine.dram_mapping import Mapping, mapping, pack
from siloom.sim.engine.dram_timing import (
    MAX_BANKS,
    NEVER,
    Policy,
    Timing,
    conflict_latency,
    hit_latency,
    miss_latency,
    without_refresh,
)
from siloom.sim.memory import PARTS, part

DDR4 = without_refresh(part("ddr4-2400").timing)
HBM3 = part("hbm3-6.4").timing
POLICY = Policy(window=16, write_queue=32, drain_high=24, drain_low=8)
WAITS = [c for c in COUNTS if c.startswith("wait_")]


@dataclass
class Run:
    """A stream of one channel and what became of it."""

    timing: Timing
    arrivals: np.ndarray
    banks: np.ndarray
    rows: np.ndarray
    writes: np.ndarray
    done: np.ndarray
    counts: dict[str, int]
    finish: int

    @property
    def columns(self) -> np.ndarray:
        """Clock of each request's column command."""
        t = self.timing
        return self.done - t.burst - np.where(self.writes, t.cwl, t.cl)


def packed(banks: np.ndarray, rows: np.ndarray, writes: np.ndarray) -> np.ndarray:
    return (rows.astype(np.int64) << 7) | (banks.astype(np.int64) << 1) | writes.astype(np.int64)


def serve(timing: Timing, policy: Policy, arrivals: object, banks: object, rows: object, writes: object = False) -> Run:
    when = np.asarray(arrivals, np.int64)
    b, r = np.asarray(banks, np.int64), np.asarray(rows, np.int64)
    w = np.broadcast_to(np.asarray(writes, bool), b.shape)
    when = np.ascontiguousarray(np.broadcast_to(when, b.shape))
    state, done = new_channel(timing), np.full(len(b), NEVER)
    run_channel(packed(b, r, w), when, len(b), NEVER - 1, NEVER, -1, timing, policy, state, done)
    return Run(timing, when, b, r, w, done, dict(zip(COUNTS, state[COUNTED].tolist(), strict=True)), int(state[FINISH]))


def random_timing(rng: np.random.Generator) -> Timing:
    def between(low: int, high: int) -> int:
        return int(rng.integers(low, high + 1))

    burst, cl, rp, ras = int(rng.choice([2, 4])), between(8, 22), between(5, 20), between(10, 40)
    return Timing(
        rank_bits=between(0, 1), group_bits=between(0, 2), bank_bits=between(0, 2), burst=burst, cl=cl,
        cwl=between(3, cl), rcd_read=between(5, 20), rcd_write=between(5, 20), rp=rp, ras=ras,
        rc=ras + rp + between(0, 3), wr=between(3, 20), rtp=between(2, 9), ccd_s=burst, ccd_l=burst + between(0, 4),
        ccd_r=burst + between(0, 3), rrd_s=between(2, 6), rrd_l=between(6, 8), wtr_s=between(1, 5),
        wtr_l=between(5, 10), faw=between(8, 40), turnaround=between(0, 3),
        rfc=int(rng.choice([0, 50, 100])), refi=between(200, 900), per_bank=between(0, 1),
    )  # fmt: skip


def random_policy(rng: np.random.Generator) -> Policy:
    queue = int(rng.integers(1, 65))
    high = int(rng.integers(1, queue + 1))
    return Policy(
        window=int(rng.choice([2, 3, 8, 16, 32, 64])), write_queue=queue, drain_high=high,
        drain_low=int(rng.integers(0, high)), age_cap=int(rng.choice([1, 2, 4, 16, 64])),
    )  # fmt: skip


def random_stream(rng: np.random.Generator, timing: Timing, n: int) -> tuple[np.ndarray, ...]:
    """Arrivals, banks, rows, writes: from one hot bank to all of them, crowded to idle for whole refresh rounds."""
    gaps = rng.integers(0, int(rng.choice([1, 2, 10, 60])), n)
    if rng.random() < 0.1:
        gaps += rng.integers(0, 60_000, n) * (rng.random(n) < 0.02)
    banks = rng.integers(0, int(rng.choice([1, 2, timing.banks])), n) % timing.banks
    rows = rng.integers(0, int(rng.choice([1, 2, 4, 50])), n)
    return np.cumsum(gaps), banks, rows, rng.random(n) < float(rng.choice([0.0, 0.3, 0.5, 1.0]))


def random_run(seed: int, n: int = 250) -> tuple[Run, Policy]:
    rng = np.random.default_rng(seed)
    timing, policy = random_timing(rng), random_policy(rng)
    return serve(timing, policy, *random_stream(rng, timing, int(rng.integers(1, n)))), policy


def assert_equals_reference(run: Run, policy: Policy) -> None:
    stream = zip(
        run.arrivals.tolist(), run.banks.tolist(), run.rows.tolist(), run.writes.astype(int).tolist(), strict=True
    )
    done, counts, finish = serve_reference([(a, b, r, bool(w)) for a, b, r, w in stream], run.timing, policy)
    assert run.done.tolist() == done
    assert run.counts == counts
    assert run.finish == finish


# Equal to the reference.


@pytest.mark.parametrize("block", range(10))
def test_every_completion_and_count_equals_the_plain_reference(block: int) -> None:
    for seed in range(block * 60, (block + 1) * 60):
        assert_equals_reference(*random_run(seed))


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("window", [2, 16, 63, 64])
def test_long_crowded_streams_equal_the_reference_too(window: int, share: float) -> None:
    # So long and crowded that the places of a queue run out again and again, of writes alone with all but one taken.
    rng = np.random.default_rng(window)
    policy = Policy(window=window, write_queue=64, drain_high=60, drain_low=5, age_cap=40)
    for name, banks in (("ddr4-2400", 7), ("ddr4-2400", 16), ("hbm3-6.4", 7), ("hbm3-6.4", 32)):
        timing = part(name).timing
        run = serve(timing, policy, 0, rng.integers(0, banks, 600), rng.integers(0, 9, 600), rng.random(600) < share)
        assert_equals_reference(run, policy)
        places = np.arange(600)
        in_order = serve(timing, policy, 0, places % banks, places // 99, rng.random(600) < share)
        assert_equals_reference(in_order, policy)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_part_of_64_banks_equals_the_reference_too(share: float) -> None:
    rng = np.random.default_rng(7)
    timing = HBM3._replace(bank_bits=3)
    assert timing.banks == MAX_BANKS
    for rows in (2, 1000):
        run = serve(timing, POLICY, 0, rng.integers(0, 64, 900), rng.integers(0, rows, 900), rng.random(900) < share)
        assert_equals_reference(run, POLICY)


@pytest.mark.parametrize("pause,refreshed", [(1 << 22, True), (1 << 24, True), (1 << 40, False), (1 << 52, False)])
def test_pauses_and_late_clocks_equal_the_reference_too(pause: int, refreshed: bool) -> None:
    # Clocks are kept in 32 bits from a base that moves.
    for seed in range(3):
        rng = np.random.default_rng(seed)
        timing, policy = random_timing(rng), random_policy(rng)
        timing = timing._replace(rfc=100 if refreshed else 0, refi=900)
        arrivals, banks, rows, writes = random_stream(rng, timing, 60)
        arrivals = arrivals + pause // 3 * np.arange(60) // 20
        assert_equals_reference(serve(timing, policy, arrivals, banks, rows, writes), policy)


def test_random_runs_exercise_every_count() -> None:
    total = dict.fromkeys(COUNTS, 0)
    for seed in range(100):
        for name, count in random_run(seed)[0].counts.items():
            total[name] += count
    assert min(total.values()) > 100, total


# Closed forms.


def test_an_idle_read_takes_the_closed_form() -> None:
    first = miss_latency(DDR4)
    run = serve(DDR4, POLICY, [0, 500, 1000], [3, 3, 3], [7, 7, 8])
    latencies = (run.done - run.arrivals).tolist()
    assert latencies == [first, hit_latency(DDR4), conflict_latency(DDR4)]
    assert (first, hit_latency(DDR4), conflict_latency(DDR4)) == (16 + 16 + 4, 16 + 4, 16 + 16 + 16 + 4)
    assert (run.counts["misses"], run.counts["hits"], run.counts["conflicts"]) == (1, 1, 1)


def test_one_bank_group_is_held_to_the_long_column_gap_and_two_are_not() -> None:
    n = 40
    one = serve(DDR4, POLICY, 0, np.zeros(n), np.zeros(n))
    two = serve(DDR4, POLICY, 0, np.arange(n) % 2 * 4, np.zeros(n))
    assert one.finish == miss_latency(DDR4) + (n - 1) * DDR4.ccd_l
    # The second group's row opens tRRD_S after the first one's: the bus waits once, then never.
    assert two.finish <= miss_latency(DDR4) + DDR4.ccd_l + (n - 1) * DDR4.ccd_s
    assert one.counts["wait_group"] == (n - 1) * (DDR4.ccd_l - DDR4.burst)


def test_rows_of_one_bank_follow_each_other_by_the_row_cycle() -> None:
    n = 10
    run = serve(DDR4, POLICY, 0, np.zeros(n), np.arange(n))
    assert np.diff(run.done).tolist() == [DDR4.rc] * (n - 1)  # tRC 55 > tRCD + tRTP + tRP = 41
    assert run.counts["conflicts"] == n - 1


def test_the_fifth_activation_waits_for_the_window_of_four() -> None:
    spread = [0, 4, 8, 12, 1]  # four groups, then the first again
    run = serve(DDR4, POLICY, 0, spread, np.zeros(5))
    acts = run.columns - DDR4.rcd_read
    assert acts[:4].tolist() == [0, DDR4.rrd_s, 2 * DDR4.rrd_s, 3 * DDR4.rrd_s]
    assert acts[4] == DDR4.faw
    assert run.counts["wait_activate"] > 0


def test_the_bus_turns_as_the_standard_says() -> None:
    quick = POLICY._replace(write_queue=4, drain_high=1, drain_low=0)
    run = serve(DDR4, quick, [0, 200, 201], [0, 0, 0], [0, 0, 0], [False, True, False])
    read, write, again = run.columns.tolist()
    assert write == 200
    assert again == write + DDR4.cwl + DDR4.burst + DDR4.wtr_l
    other = serve(DDR4, quick, [0, 0, 200, 201], [0, 4, 0, 4], [0, 0, 0, 0], [False, False, True, False])
    assert other.columns[3] == other.columns[2] + DDR4.cwl + DDR4.burst + DDR4.wtr_s
    close = serve(DDR4, quick, [0, 100, 101], [0, 0, 0], [0, 0, 0], [False, False, True])
    assert close.columns[2] == close.columns[1] + DDR4.cl + DDR4.burst + DDR4.turnaround - DDR4.cwl
    assert read == DDR4.rcd_read


def test_a_refresh_stops_the_rank_and_closes_its_rows() -> None:
    timing = part("ddr4-2400").timing
    at = timing.refi
    run = serve(timing, POLICY, [at - 100, at + 1], [0, 0], [0, 0])
    # The open row is precharged when the refresh is due; the bank may be opened when it is over.
    assert run.done[1] == at + timing.rp + timing.rfc + miss_latency(timing)
    assert (run.counts["misses"], run.counts["hits"], run.counts["refreshes"]) == (2, 0, 1)


def test_a_refresh_of_one_bank_leaves_the_others_alone() -> None:
    n, at = 4, HBM3.refi // 2  # of two ranks; bank 0 of rank 0 is the first
    run = serve(HBM3, POLICY, at + 1, np.arange(n), np.zeros(n))
    alone = serve(without_refresh(HBM3), POLICY, at + 1, np.arange(n), np.zeros(n))
    assert run.done[0] == at + HBM3.rfc + miss_latency(HBM3)
    assert run.done[1] <= alone.done[1]


def test_ranks_share_the_bus_with_a_gap() -> None:
    timing = without_refresh(part("ddr4-2400-dramsim3").timing)._replace(rtp=1)
    n = 40
    run = serve(timing, POLICY, 0, np.arange(n) % 2 * 16, np.zeros(n))
    # One bank of each rank: tCCD_L (6) of the own group allows the other rank's burst (5) between, no more.
    assert np.diff(np.sort(run.columns))[2:].tolist() == [timing.ccd_r] * (n - 3)
    assert run.counts["wait_turnaround"] >= (n - 3) * (timing.ccd_r - timing.burst)


# Choice.


def test_a_younger_hit_passes_a_conflict() -> None:
    run = serve(DDR4, POLICY, [0, 1, 2], [0, 0, 0], [5, 6, 5])
    assert np.argsort(run.done).tolist() == [0, 2, 1]


def test_the_oldest_is_passed_no_more_often_than_the_cap() -> None:
    for cap in (1, 3, 10):
        rows = np.array([5, 6] + [5] * 30)
        run = serve(DDR4, POLICY._replace(age_cap=cap, window=32), 0, np.zeros(32), rows)
        assert int((run.done < run.done[1]).sum()) == 1 + cap


def test_a_wider_window_is_no_slower_on_random_rows() -> None:
    rng = np.random.default_rng(1)
    banks, rows = rng.integers(0, 16, 3000), rng.integers(0, 1000, 3000)
    finish = [serve(DDR4, POLICY._replace(window=w), 0, banks, rows).finish for w in (2, 4, 8, 16, 32, 64)]
    assert finish == sorted(finish, reverse=True)
    assert finish[0] > 2 * finish[-1]


def test_writes_wait_while_reads_are_pending_and_are_never_forgotten() -> None:
    # Five writes, below the mark, then reads without end: the writes go when the reads have gone.
    writes = np.array([True] * 5 + [False] * 60)
    run = serve(DDR4, POLICY._replace(drain_high=24, drain_low=8), 0, np.arange(65) % 16, np.zeros(65), writes)
    assert run.done[:5].max() < NEVER
    assert run.counts["turnarounds"] == 1
    assert run.done[:5].min() > run.done[5:].max()
    crowded = serve(DDR4, POLICY, 0, np.arange(600) % 16, np.arange(600) // 64, np.arange(600) % 2 == 0)
    assert crowded.counts["turnarounds"] <= 2 * 600 / (POLICY.drain_high - POLICY.drain_low)


# Bounds that hold for every stream.


@pytest.mark.parametrize("name", PARTS)
def test_no_stream_beats_the_standard(name: str) -> None:
    """The data bus, column gaps, turnarounds and rows of each bank, looked at from outside."""
    timing = part(name).timing
    for seed in range(6):
        rng = np.random.default_rng(seed)
        policy = random_policy(rng)
        run = serve(timing, policy, *random_stream(rng, timing, 700))
        check_standard(run)


def test_no_random_part_beats_the_standard() -> None:
    for seed in range(200):
        check_standard(random_run(seed)[0])


def check_standard(run: Run) -> None:
    t, columns = run.timing, run.columns
    n = len(columns)
    order = np.argsort(columns, kind="stable")
    ends = run.done[order]
    assert np.all(np.diff(np.sort(run.done)) >= t.burst), "two bursts share the bus"
    assert run.finish >= n * t.burst, "faster than the pins"
    assert ends.max() == run.finish
    assert np.all(run.done - run.arrivals >= np.where(run.writes, t.cwl, t.cl) + t.burst), "less than a hit's latency"
    groups, ranks = run.banks >> t.bank_bits, run.banks >> (t.bank_bits + t.group_bits)
    for i, j in pairwise(order):
        assert columns[j] - columns[i] >= (t.ccd_s if ranks[i] == ranks[j] else t.ccd_r)
        if run.writes[j] and not run.writes[i]:
            assert columns[j] - columns[i] >= t.cl + t.burst + t.turnaround - t.cwl
        if run.writes[i] and not run.writes[j] and ranks[i] == ranks[j]:
            wait = t.wtr_l if groups[i] == groups[j] else t.wtr_s
            assert columns[j] - columns[i] >= t.cwl + t.burst + wait
    for group in np.unique(groups):
        assert np.all(np.diff(np.sort(columns[groups == group])) >= t.ccd_l)
    acts = 0
    for bank in np.unique(run.banks):
        mine = order[run.banks[order] == bank]
        opens = np.where(run.writes, t.rcd_write, t.rcd_read)
        first = run.arrivals[mine].min() + min(t.rcd_read, t.rcd_write)
        assert columns[mine[0]] >= first, "a column of a closed row"
        acts += 1
        for i, j in pairwise(mine):
            if run.rows[i] == run.rows[j]:
                continue
            acts += 1
            recovery = t.cwl + t.burst + t.wr if run.writes[i] else t.rtp
            assert columns[j] - columns[i] >= recovery + t.rp + min(opens[j], t.rcd_read, t.rcd_write)
    assert run.counts["activates"] >= acts
    per_rank = run.counts["activates"] / (1 << t.rank_bits)
    assert run.finish >= (np.ceil(per_rank / 4) - 1) * t.faw, "more than four activations in tFAW"
    assert run.counts["hits"] + run.counts["misses"] + run.counts["conflicts"] == n
    assert run.counts["reads"] + run.counts["writes"] == n
    assert run.counts["reads"] == int((~run.writes).sum())
    if t.rfc:  # every rank refreshes at every interval that ends before the last column
        due = int(columns.max()) // t.refi - 1
        assert run.counts["refreshes"] >= due << t.rank_bits


def test_waits_and_bursts_add_up_to_the_clocks() -> None:
    for seed in range(150):
        run, _ = random_run(seed)
        waits = sum(run.counts[c] for c in WAITS)
        assert waits + len(run.done) * run.timing.burst == run.columns.max() + run.timing.burst
        assert all(run.counts[c] >= 0 for c in WAITS)


def test_refreshes_cost_their_share_of_a_full_stream() -> None:
    timing = part("ddr4-2400").timing
    n = 60_000
    rows = np.arange(n) // 512  # each open in four groups
    run = serve(timing, POLICY, 0, np.arange(n) % 4 * 4 + np.arange(n) // 2048 % 4, rows)
    share = n * timing.burst / run.finish
    assert share < 1 - timing.rfc / timing.refi
    assert share > 0.98 * (1 - timing.rfc / timing.refi)


# Drivers.


ONE = Mapping._make([0, 0, 0, 0, 13, 2, 15, 2, 17, 30, 0])


def two_channels(timing: Timing) -> Mapping:
    widths = {"Ch": 1, "Ra": timing.rank_bits, "Bg": timing.group_bits, "Ba": timing.bank_bits, "Ro": 12, "Co": 5}
    return mapping("RoBaRaCoBgCh", 6, widths)


def test_a_run_cut_at_any_clocks_is_the_same_run() -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        timing, policy = random_timing(rng), random_policy(rng)
        arrivals, banks, rows, writes = random_stream(rng, timing, 120)
        whole = serve(timing, policy, arrivals, banks, rows, writes)
        state, done = new_channel(timing), np.full(120, NEVER)
        requests = packed(banks, rows, writes)
        for until in np.sort(rng.integers(0, whole.finish, 25)):
            known = int(np.searchsorted(arrivals, until, side="right"))  # no more has been asked for by then
            run_channel(requests, arrivals, known, int(until), NEVER, -1, timing, policy, state, done)
            assert state[CLOCK] <= until
            assert state[TAKEN] <= known
        run_channel(requests, arrivals, 120, NEVER - 1, NEVER, -1, timing, policy, state, done)
        assert done.tolist() == whole.done.tolist()
        assert dict(zip(COUNTS, state[COUNTED].tolist(), strict=True)) == whole.counts


@pytest.mark.parametrize("group,accepted,outstanding", [(1, 1, 0), (3, 4, 0), (1, 8, 5), (2, 1, 40)])
def test_what_a_driver_was_accepted_for_is_replayed_the_same(group: int, accepted: int, outstanding: int) -> None:
    for seed in range(25):
        rng = np.random.default_rng(seed)
        timing, policy = random_timing(rng), random_policy(rng)
        mapped = two_channels(timing)
        addresses = rng.integers(0, 1 << 22, 200) & ~63
        writes = rng.random(200) < 0.3
        taken, done, counts, finish = drive(
            addresses, writes, mapped, timing, policy, group=group, accepted=accepted, outstanding=outstanding
        )
        again, counts_again, finish_again = replay(addresses, writes, taken, mapped, timing, policy)
        assert done.tolist() == again.tolist()
        assert finish.tolist() == finish_again.tolist()
        assert counts.tolist() == counts_again.tolist()
        assert np.all(np.diff(taken[::group]) >= 1)  # a group a clock at most
        if outstanding:
            assert np.all(taken[outstanding:] >= done[:-outstanding])


def test_one_outstanding_read_pays_its_latency_each_time() -> None:
    addresses = np.arange(50) << 17  # a new row of one bank each time
    taken, done, _, _ = drive(addresses, np.zeros(50, bool), ONE, DDR4, POLICY, outstanding=1)
    assert taken[1:].tolist() == done[:-1].tolist()
    spans = np.diff(done)
    least = max(conflict_latency(DDR4), DDR4.rc)
    assert spans.tolist() == [least] * 49


def test_a_driver_stops_at_its_clock() -> None:
    addresses = np.arange(4000) << 6
    taken, done, _, _ = drive(addresses, np.zeros(4000, bool), ONE, DDR4, POLICY, until=2000)
    assert taken[taken < NEVER].max() <= 2000
    assert 0 < (done < NEVER).sum() < 4000
    assert done[done < NEVER].max() - hit_latency(DDR4) <= 2000 < done[done < NEVER].max()


def test_channels_are_independent() -> None:
    rng = np.random.default_rng(3)
    mapped = two_channels(DDR4)
    addresses, writes = rng.integers(0, 1 << 22, 500) & ~63, rng.random(500) < 0.3
    arrivals = np.cumsum(rng.integers(0, 9, 500))
    done, counts, _ = replay(addresses, writes, arrivals, mapped, DDR4, POLICY)
    for channel in (0, 1):
        mine = (addresses >> mapped.channel_at) & 1 == channel
        requests = pack(addresses[mine], writes[mine], mapped)
        alone = serve(DDR4, POLICY, arrivals[mine], (requests >> 1) & 63, requests >> 7, writes[mine])
        assert alone.done.tolist() == done[mine].tolist()
        assert list(alone.counts.values()) == counts[channel].tolist()


def test_an_empty_stream_does_nothing() -> None:
    none = np.zeros(0, np.int64)
    done, counts, finish = replay(none, none.astype(bool), none, two_channels(DDR4), DDR4, POLICY)
    assert len(done) == 0
    assert counts.sum() == 0
    assert finish.tolist() == [0, 0]
