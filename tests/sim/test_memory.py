"""Are the memory parts what their standards say, and do their rates stand beside DRAMsim3's?"""

from __future__ import annotations

import numpy as np
import pytest

from siloom.reports.experiments.dram import CYCLES, bandwidth, mt19937_64, simulate, tables
from siloom.reports.reproduce import published
from siloom.sim.cost import table
from siloom.sim.engine.dram_timing import NEVER, Policy, hit_latency
from siloom.sim.errors import InputError, UsageError
from siloom.sim.memory import (
    PARTS,
    address_mapping,
    drive,
    idle_latency_s,
    part,
    serve,
    stream_bytes_per_s,
    write_costs,
)

# GB/s of a channel or stack, as published; and the nanoseconds of tRCD + tCL + the burst.
PEAKS = {
    "ddr3-1866": 14.93, "ddr3-2133": 17.1, "ddr4-2400": 19.2, "ddr4-3200": 25.6, "hbm2-2.0": 256, "hbm2-2.4": 307,
    "hbm2e": 410, "hbm2e-3.6": 460, "hbm3-6.4": 819,
}  # fmt: skip


@pytest.mark.parametrize("name", PEAKS)
def test_peaks_are_the_published_ones(name: str) -> None:
    assert part(name).peak_bytes_per_s == pytest.approx(PEAKS[name] * 1e9, rel=0.003)


def test_every_part_of_the_table_is_listed_here_or_is_dramsim3s() -> None:
    assert set(PARTS) == set(PEAKS) | {n for n in PARTS if n.endswith("-dramsim3")}


@pytest.mark.parametrize("name", PARTS)
def test_times_are_such_as_a_standard_could_state(name: str) -> None:
    t = part(name).timing
    assert t.rc >= t.ras + t.rp
    assert t.ccd_l >= t.ccd_s >= t.burst
    assert t.ccd_r >= t.ccd_s
    assert t.rrd_l >= t.rrd_s
    assert t.wtr_l >= t.wtr_s
    assert t.faw >= 0
    assert t.cwl <= t.cl
    assert t.rfc < t.refi << (t.group_bits + t.bank_bits if t.per_bank else 0)
    assert 12e-9 < t.rcd_read * part(name).clock_s < 20e-9  # the array's own speed, whatever the interface's
    assert t.banks <= 64


def test_shapes_are_powers_of_two_and_capacities_known() -> None:
    for (name, field), entry in table("dram_parts").items():
        if field in ("channels", "ranks", "bank_groups", "banks", "rows", "row_bytes", "burst_bytes"):
            assert entry.value == 1 << (int(entry.value).bit_length() - 1), (name, field)
    gib = {name: part(name).capacity_bytes / 2**30 for name in PARTS}
    assert (gib["ddr3-1866"], gib["ddr3-2133"], gib["ddr4-2400"]) == (8, 4, 8)
    assert (gib["hbm2-2.0"], gib["hbm2e"], gib["hbm3-6.4"]) == (4, 8, 16)


def test_hbm2e_keeps_the_nanoseconds_of_hbm2() -> None:
    old, new = part("hbm2-2.0"), part("hbm2e")
    for field in ("cl", "rcd_read", "rp", "ras", "rc", "faw", "rfc", "refi"):
        before = getattr(old.timing, field) * old.clock_s
        slack = 2 if field == "rc" else 1  # the sum of two that are rounded up
        assert getattr(new.timing, field) * new.clock_s == pytest.approx(before, abs=slack * new.clock_s)
    for (name, _), entry in table("dram_parts").items():
        if name.startswith("hbm2e"):
            assert entry.status == "assumed"


@pytest.mark.parametrize("name", PARTS)
def test_sustained_rates_stay_below_refresh_and_peak(name: str) -> None:
    found, t = part(name), part(name).timing
    reads = stream_bytes_per_s(name) / found.peak_bytes_per_s
    mixed = stream_bytes_per_s(name, 1, 1 / 3) / found.peak_bytes_per_s
    assert mixed < reads < 1.0
    assert reads > 0.85
    if t.rank_bits == 0:  # nothing moves while the only rank refreshes
        assert reads <= 1 - t.rfc / t.refi + 1e-3
    assert stream_bytes_per_s(name, 3) == pytest.approx(3 * stream_bytes_per_s(name))


@pytest.mark.parametrize("name", PARTS)
def test_rates_between_the_shares_of_writes_are_near_direct_simulation(name: str) -> None:
    costs = np.array(write_costs(name))
    assert costs[0] == 1.0
    assert costs.min() == 1.0  # no mixture is faster than reads alone
    between = (np.arange(16) + 0.5) / 16  # where interpolation knows least
    direct = np.array([stream_bytes_per_s(name) / stream_bytes_per_s(name, 1, share) for share in between])
    error = np.abs(np.interp(between, np.arange(17) / 16, costs) / direct - 1)
    assert error.mean() < 0.015
    assert error[between < 0.9].max() < 0.04
    assert error.max() < 0.08
    # Exactly half: two streams in step through the same banks.
    assert 0.05 < stream_bytes_per_s(name) / stream_bytes_per_s(name, 1, 0.5) / costs[8] - 1 < 0.17


def test_idle_latency_is_that_of_a_served_read() -> None:
    for name in PARTS:
        alone = serve(name, [0])
        assert alone.done[0] * part(name).clock_s == pytest.approx(idle_latency_s(name))


def test_streams_fill_all_parts_and_random_reads_do_not() -> None:
    found = part("hbm2-2.0")
    bursts = np.arange(40_000)
    stream = serve("hbm2-2.0", bursts * found.burst_bytes, parts=2)
    assert stream.bytes_per_s > 0.85 * 2 * found.peak_bytes_per_s
    rng = np.random.default_rng(0)
    scattered = serve("hbm2-2.0", rng.integers(0, 1 << 32, 40_000), parts=2)
    assert scattered.bytes_per_s < 0.5 * stream.bytes_per_s
    assert scattered.counts["hits"] < 0.01 * 40_000


def test_bank_groups_on_the_top_bits_hold_a_stream_to_the_long_column_gap() -> None:
    addresses = np.arange(20_000) * 64
    good = serve("ddr4-2400", addresses, refresh=False).bytes_per_s
    bad = serve("ddr4-2400", addresses, mapping="BgRoRaBaChCo", refresh=False).bytes_per_s
    timing = part("ddr4-2400").timing
    assert bad / good == pytest.approx(timing.ccd_s / timing.ccd_l, rel=0.03)


def test_folding_the_row_into_the_bank_mends_a_stride_of_a_row() -> None:
    strided = np.arange(4000) << 17  # always bank 0
    plain = serve("ddr4-2400", strided).bytes_per_s
    folded = serve("ddr4-2400", strided, mapping="RoBaRaCoBgCh^").bytes_per_s
    assert folded > 5 * plain


def test_a_closed_loop_gains_with_what_is_outstanding_until_the_memory_is_full() -> None:
    rng = np.random.default_rng(1)
    addresses = rng.integers(0, 1 << 32, 4000)
    rates = [drive("ddr4-2400", addresses, outstanding=n).bytes_per_s for n in (1, 2, 4, 8, 64)]
    assert rates == sorted(rates)
    found = part("ddr4-2400")
    assert rates[0] <= found.burst_bytes / (hit_latency(found.timing) * found.clock_s)
    # Four activations in tFAW: 64 bytes each.
    assert rates[-1] <= 4 * found.burst_bytes / (found.timing.faw * found.clock_s)


def test_the_generator_is_the_standard_librarys() -> None:
    # ISO C++ [rand.predef]: the 10,000th number of a default mt19937_64 is this.
    drawn = mt19937_64(10_000)
    assert int(drawn[9999]) == 9981545732273789042
    assert int(drawn[0]) == 14514284786278117030


@pytest.mark.parametrize("case", ["ddr4-2400 stream", "ddr4-2400 random", "hbm2 stream", "hbm2 random"])
def test_bandwidth_is_within_15_percent_of_dramsim3s(case: str) -> None:
    known = next(p.value for p in published("dram") if p.case == case and p.quantity == "bandwidth")
    assert bandwidth(simulate(case)) == pytest.approx(known, rel=0.15)


def test_the_report_covers_every_published_case() -> None:
    made = tables(None, lambda _: None)
    digits = next(made)
    assert [(row["case"], row["quantity"]) for row in digits.rows] == [(p.case, p.quantity) for p in published("dram")]
    for row in digits.rows:
        if not row["unit"]:
            assert row["simulated"] == row["dramsim3"], row
        elif row["unit"] == "GB/s":
            assert row["simulated"] == pytest.approx(row["dramsim3"], abs=0.05), row
        else:  # of HBM2 the middle of two channels stands there
            assert row["simulated"] == pytest.approx(row["dramsim3"], rel=0.021 if "hbm2" in row["case"] else 0.002), (
                row
            )
    beside = next(made)
    for row in beside.rows:
        # Little's law: what is held is what is done a clock times how long it takes.
        assert row["default_latency"] / row["default_reads_held"] == pytest.approx(
            row["dramsim3_latency"] / row["dramsim3_reads_held"] * row["dramsim3_gb_per_s"] / row["default_gb_per_s"],
            rel=0.03,
        )
        # As README has it.
        assert row["default_gb_per_s"] == pytest.approx(row["dramsim3_gb_per_s"], rel=0.1)
        if row["case"].endswith("random"):
            assert 0.40 < 1 - row["default_latency"] / row["dramsim3_latency"] < 0.575
    assert [row["case"] for row in beside.rows] == list(dict.fromkeys(p.case for p in published("dram")))
    clocks = next(made)
    for row in clocks.rows:
        shares = [float(v.rstrip("%")) for k, v in row.items() if k not in ("case", "turnarounds", "row_hits")]
        assert sum(shares) == pytest.approx(100, abs=1.0)


def test_a_run_of_so_many_clocks_ends_there() -> None:
    served = simulate("ddr3-1866 stream", cycles=20_000)
    assert 20_000 < served.cycles < 20_100 < CYCLES
    assert served.accepted[served.accepted < NEVER].max() <= 20_000


@pytest.mark.parametrize(
    "call,message",
    [
        (lambda: part("ddr9"), "no memory part 'ddr9'"),
        (lambda: stream_bytes_per_s("ddr4-2401"), "did you mean 'ddr4-2400'"),
    ],
)
def test_unknown_parts_are_refused(call: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()  # type: ignore[operator]


@pytest.mark.parametrize(
    "call,message",
    [
        (lambda: stream_bytes_per_s("ddr4-2400", 0), "channels must be at least 1, got 0"),
        (lambda: stream_bytes_per_s("ddr4-2400", 1, 1.5), "write_share must be between 0 and 1, got 1.5"),
        (lambda: serve("ddr4-2400", [-64]), "addresses must be at least 0, got -64"),
        (lambda: serve("ddr4-2400", [[0]]), "addresses must have one dimension, got 2"),
        (lambda: serve("ddr4-2400", [0, 64], arrivals=[5, 4]), "arrivals must be .* not decrease"),
        (lambda: serve("ddr4-2400", [0], arrivals=[-1]), "arrivals must be"),
        (lambda: serve("ddr4-2400", [0, 64], writes=[True] * 3), "writes must be one or 2, got 3"),
        (lambda: serve("ddr4-2400", [0], mapping="RoCo"), "address mapping must be made of .*got 'RoCo'"),
        (lambda: serve("ddr4-2400", [0], parts=3), "parts must be a power of two, got 3"),
        (lambda: serve("ddr4-2400", [0], policy=Policy(window=65)), "window must be between 2 and 64, got 65"),
        (lambda: serve("ddr4-2400", [0], policy=Policy(window=1)), "window must be between 2 and 64, got 1"),
        (lambda: serve("ddr4-2400", [0], policy=Policy(drain_low=48)), "drain_low must be between 0 and 47, got 48"),
        (lambda: serve("ddr4-2400", [0], policy=Policy(age_cap=0)), "age_cap must be .*got 0"),
        (lambda: drive("ddr4-2400", [0], group=0), "group must be at least 1, got 0"),
        (lambda: drive("ddr4-2400", [0], outstanding=-1), "outstanding must be at least 0, got -1"),
        (lambda: drive("ddr4-2400", [0], cycles=-1), "cycles must be from 0"),
        (lambda: address_mapping(part("ddr4-2400"), "xx"), "address mapping"),
    ],
)
def test_bad_input_is_one_line_that_names_field_rule_and_value(call: object, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        call()  # type: ignore[operator]
    assert "\n" not in str(caught.value)
