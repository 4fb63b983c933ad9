"""Is the DRAM controller its plain reference, and within what a part's pins, banks and refreshes allow?"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from siloom.sim.engine.dram_channel import COUNTS, FINISH, new_channel
from siloom.sim.engine.dram_controller import run_channel
from siloom.sim.engine.dram_controller_reference import serve_reference
from siloom.sim.engine.dram_timing import NEVER, Policy, Timing, conflict_latency, hit_latency, miss_latency
from siloom.sim.errors import InputError, UsageError
from siloom.sim.memory import PARTS, drive, idle_latency_s, part, serve, stream_bytes_per_s

Request = tuple[int, int, int, bool]


def by_kernel(requests: list[Request], timing: Timing, policy: Policy) -> tuple[list[int], dict[str, int], int]:
    packed = np.array([row << 7 | bank << 1 | write for _, bank, row, write in requests], np.int64)
    arrivals = np.array([arrival for arrival, *_ in requests], np.int64)
    done, counts, state = np.full(len(packed), NEVER), np.zeros(len(COUNTS), np.int64), new_channel(timing)
    run_channel(
        packed, arrivals, len(packed), NEVER - 1, NEVER, -1, timing, policy, state, counts, done,
    )  # fmt: skip
    return done.tolist(), dict(zip(COUNTS, counts.tolist(), strict=True)), int(state[FINISH])


def drawn(seed: int) -> tuple[list[Request], Timing, Policy]:
    """A part's own times or changed ones, a policy, and a stream with bursts, pauses and few or many rows."""
    rng = np.random.default_rng(seed)
    timing = part(str(rng.choice(PARTS))).timing
    if rng.random() < 0.5:
        timing = timing._replace(refi=int(rng.integers(400, 3000)), rfc=int(rng.integers(0, 200)))
    if rng.random() < 0.3:
        faw, rrd, per_bank = (int(rng.integers(*ends)) for ends in ((1, 60), (1, 8), (0, 2)))
        timing = timing._replace(faw=faw, rrd_s=rrd, per_bank=per_bank)
    queue = int(rng.integers(2, 65))
    high = int(rng.integers(1, queue + 1))
    policy = Policy(int(rng.integers(2, 65)), queue, high, int(rng.integers(0, high)), int(rng.integers(0, 64)))
    n = int(rng.integers(1, 250))
    pauses = rng.integers(0, int(rng.choice([1, 3, 40, 2000])), n) * (rng.random(n) < rng.random())
    banks = rng.integers(0, min(timing.banks, int(rng.choice([1, 2, 64]))), n)
    rows = rng.integers(0, int(rng.choice([1, 2, 1000])), n)
    writes = rng.random(n) < rng.choice([0.0, 0.3, 0.6, 1.0])
    stream = zip(np.cumsum(pauses).tolist(), banks.tolist(), rows.tolist(), writes.tolist(), strict=True)
    return list(stream), timing, policy


@pytest.mark.parametrize("first", range(0, 400, 50))
def test_equals_the_plain_reference_request_by_request(first: int) -> None:
    for seed in range(first, first + 50):
        requests, timing, policy = drawn(seed)
        assert by_kernel(requests, timing, policy) == serve_reference(requests, timing, policy), seed


def test_no_answer_comes_before_its_closed_form() -> None:
    for seed in range(200):
        requests, timing, policy = drawn(seed)
        done, *_ = by_kernel(requests, timing, policy)
        for (arrival, _, _, write), end in zip(requests, done, strict=True):
            least = timing.cwl + timing.burst if write else hit_latency(timing)
            assert end - arrival >= least, seed


@pytest.mark.parametrize("name", PARTS)
def test_a_read_of_an_idle_part_takes_its_closed_form(name: str) -> None:
    timing = part(name).timing
    calm = Policy(window=2)
    (cold,), *_ = by_kernel([(0, 0, 5, False)], timing, calm)
    assert cold == miss_latency(timing)
    later = timing.refi // 8  # both before the first refresh of any rank
    _, again, other = by_kernel([(0, 0, 5, False), (later, 0, 5, False), (2 * later, 0, 6, False)], timing, calm)[0]
    if not timing.per_bank:  # a refresh of one bank may fall between
        assert again == later + hit_latency(timing)
        assert other == 2 * later + conflict_latency(timing)
    assert idle_latency_s(name) == pytest.approx(miss_latency(timing) * part(name).clock_s)


@pytest.mark.parametrize("name", PARTS)
def test_column_commands_keep_the_distances_of_bus_group_and_bank(name: str) -> None:
    """One bank: tCCD_L apart. Two groups in turn: tCCD_S or the burst. Rows of one bank in turn: tRC."""
    timing = part(name).timing._replace(rfc=0)
    n = 200
    for banks, rows, apart in (
        ([0], [0], max(timing.ccd_l, timing.burst)),
        ([0], [0, 1], timing.rc),
        ([0, 1 << timing.bank_bits] if timing.group_bits else [0, 1], [0], max(timing.ccd_s, timing.burst)),
    ):
        stream = [(0, banks[i % len(banks)], rows[i % len(rows)], False) for i in range(n)]
        first_come = Policy(window=2, age_cap=0)
        done, *_ = by_kernel(stream, timing, first_come)
        gaps = np.diff(np.sort(done))
        assert gaps[10:].min() >= apart
        if len(rows) == 1:
            assert np.median(gaps[10:]) == apart


@pytest.mark.parametrize("name", PARTS)
def test_activations_never_outrun_tfaw_and_trrd(name: str) -> None:
    """Random rows, every access an activation of its own: four of a rank take at least tFAW."""
    found = part(name)
    timing = found.timing._replace(rfc=0)
    ranks = 1 << timing.rank_bits
    rng = np.random.default_rng(1)
    n = 4000
    requests = [(0, int(b), r, False) for r, b in enumerate(rng.integers(0, timing.banks, n))]
    _, counts, finish = by_kernel(requests, timing, Policy(window=64))
    assert counts["activates"] == n
    assert finish >= (n / 4 / ranks - 2) * timing.faw * 0.9
    assert finish >= n * timing.burst


def test_a_window_serves_open_rows_first_and_the_old_before_they_starve() -> None:
    timing = part("ddr4-2400").timing._replace(rfc=0)
    stream = [(0, 0, 0, False), (0, 0, 1, False), *((0, 0, 0, False) for _ in range(40))]
    in_order = by_kernel(stream, timing, Policy(window=2, age_cap=0))[0]
    picked = by_kernel(stream, timing, Policy(window=16, age_cap=32))[0]
    assert picked[-1] <= in_order[-1]
    assert picked[1] > picked[5]  # younger hits pass the one that needs another row
    assert picked[1] < picked[-1]  # but not all of them


@pytest.mark.parametrize("name", PARTS)
def test_no_stream_moves_faster_than_the_pins_less_refresh(name: str) -> None:
    found = part(name)
    n = 20_000
    addresses = np.arange(n, dtype=np.int64) * found.burst_bytes
    for writes in (np.zeros(n, bool), np.arange(n) % 3 == 2):
        for mapping in ("RoBaRaCoBgCh", "RoBaRaCoCh", "RoCoBaRaBgCh"):
            served = serve(name, addresses, writes, mapping=mapping)
            rate = n * found.burst_bytes / (served.cycles * found.clock_s)
            assert rate <= found.peak_bytes_per_s
    timing = found.timing
    # While one of two ranks is refreshed the other may move, and so may the other banks.
    alone = timing.rfc and not timing.per_bank and not timing.rank_bits
    share = 1 - timing.rfc / timing.refi if alone else 1.0
    for write_share in (0.0, 0.33, 1.0):
        sustained = stream_bytes_per_s(name, 1, write_share)
        assert 0.5 * found.peak_bytes_per_s < sustained <= found.peak_bytes_per_s * min(1.0, share + 0.01)
    assert stream_bytes_per_s(name, 4) == pytest.approx(4 * stream_bytes_per_s(name), rel=0.02)


def test_a_stream_s_order_of_completion_does_not_change_what_it_moves() -> None:
    rng = np.random.default_rng(3)
    addresses = rng.integers(0, part("hbm2-2.0").capacity_bytes // 64, 5000) * 64
    served = serve("hbm2-2.0", addresses, rng.random(5000) < 0.3)
    found: NDArray[np.int64] = served.done
    assert (found > 0).all()
    assert served.counts["reads"] + served.counts["writes"] == 5000


def test_a_closed_loop_with_one_outstanding_is_paced_by_latency() -> None:
    found = part("ddr4-2400")
    n = 500
    addresses = np.arange(n, dtype=np.int64) * found.burst_bytes
    served = drive("ddr4-2400", addresses, outstanding=1)
    assert served.cycles >= (n - 10) * hit_latency(found.timing)
    assert drive("ddr4-2400", addresses, outstanding=16).cycles < served.cycles / 4


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: part("ddr4-240"), UsageError, "did you mean 'ddr4-2400'"),
        (lambda: serve("ddr4-2400", [-64]), InputError, "address"),
        (lambda: serve("ddr4-2400", [0, 0], arrivals=[5, 4]), InputError, "arrivals"),
        (lambda: serve("ddr4-2400", [0], mapping="RoCh"), InputError, "mapping"),
        (lambda: serve("ddr4-2400", [0], policy=Policy(window=0)), InputError, "window"),
    ],
)
def test_refuses_with_one_line(call, error, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=words):
        call()
