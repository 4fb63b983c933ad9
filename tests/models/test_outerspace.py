"""Does OuterSPACE's model reach what was published, count exactly, and move the right way?"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import scipy.sparse as sp

from siloom.models import _outerspace_cost
from siloom.models.outerspace import OuterSpace, OuterSpaceDesign
from siloom.models.registry import machine
from siloom.reports.reproduce import published
from siloom.sim.cost import table
from siloom.sim.engine.outer_product import PhaseRun
from siloom.sim.errors import InfeasibleError, InputError
from siloom.sim.machine import run_workload
from siloom.sim.ops import SDDMM, Attention, MatMul, SpGEMM, SpMM
from siloom.sim.result import Result
from siloom.sim.sparse import Csr
from siloom.sim.testing import random_csr
from siloom.workloads.registry import load

UNIFORM = {row.case: row.value for row in published("outerspace") if row.table == "uniform"}
"""Milliseconds by workload."""
WHOLE = {row.case: row.value for row in published("outerspace") if row.table == "whole"}


@pytest.fixture(scope="module")
def uniform() -> dict[str, Result]:
    """Our runs of the paper's three uniform matrices."""
    return {case: run_workload(machine("outerspace"), load(case)) for case in UNIFORM}


def square(a: Csr, **design: object) -> Result:
    """A run of A A."""
    return OuterSpace(OuterSpaceDesign(**design)).run(SpGEMM(name="square", a=a, b=a))  # type: ignore[arg-type]


# Counts and payload: exact, by another tool's closed forms and by hand.


def m500() -> Csr:
    """The fixed matrix of the comparison of simulators: numpy's default_rng(0)."""
    rng = np.random.default_rng(0)
    mask = rng.random((500, 500)) < 0.01
    return Csr.from_scipy(sp.csr_array((mask * rng.integers(1, 10, (500, 500))).astype(float)))


M500 = {"multiplies": 12773, "adds": 288, "results": 12485, "a": 264576 // 8, "b": 261440 // 8,
        "partial": 2 * 1337952 // 8, "c": 1222208 // 8}  # fmt: skip
"""TeAAL's OuterSPACE model on M500; its bits as bytes."""


def assert_counts_and_traffic(result: Result, a: Csr, expected: dict[str, float]) -> None:
    for name in ("multiplies", "adds", "results"):
        assert result.operations[name] == expected[name], name
    for name in ("a", "b", "partial", "c"):
        assert result.traffic_bytes[name] == pytest.approx(expected[name], rel=0.03), name
    # Whole bursts that hold at least: A, the rows of B that are met, partial products out and in, C.
    met = int(a.row_lengths[np.unique(a.indices)].sum())
    work, results = result.operations["multiplies"], result.operations["results"]
    traffic = result.traffic_bytes
    assert traffic["dram_read"] % 32 == traffic["dram_write"] % 32 == 0
    assert traffic["dram_read"] >= 12 * (a.nnz + met + work)
    assert traffic["dram_write"] >= 12 * (work + results)
    payload = sum(traffic[name] for name in ("a", "b", "partial", "c", "spill"))
    assert traffic["padding"] == traffic["dram_read"] + traffic["dram_write"] - payload >= 0


def test_m500_has_teaal_s_counts_and_its_a_traffic_to_the_byte() -> None:
    result = square(m500())
    assert_counts_and_traffic(result, m500(), dict(M500))
    assert result.traffic_bytes["a"] == M500["a"]


@pytest.mark.parametrize("name", ["wiki-Vote.mtx", "p2p-Gnutella31.mtx.gz"])
def test_real_matrices_have_teaal_s_counts_and_traffic(shared_data: Path, name: str) -> None:
    path = shared_data / "matrices" / name
    if not path.is_file():
        pytest.skip(f"{name} is absent from the shared data")
    expected = {row.quantity: row.value for row in published("outerspace") if row.case == name}
    workload = load(path)
    operation = workload.items[0].op
    assert isinstance(operation, SpGEMM)
    assert_counts_and_traffic(run_workload(machine("outerspace"), workload), operation.a, expected)


# Time: the paper's, and by mechanism.


@pytest.mark.parametrize("case", list(UNIFORM))
def test_uniform_matrices_take_the_published_time(uniform: dict[str, Result], case: str) -> None:
    assert uniform[case].seconds * 1e3 == pytest.approx(UNIFORM[case], rel=0.2)


def test_at_most_three_fields_are_calibrated_and_each_says_on_what() -> None:
    fields = {n: p for n, p in OuterSpaceDesign.parameters().items() if p.status == "calibrated"}
    assert 1 <= len(fields) <= 3
    assert all("three uniform matrices of the paper" in parameter.source for parameter in fields.values())


def test_equal_size_and_work_but_other_structure_gives_other_cycles_and_another_stall_table() -> None:
    # Four entries in every row and column: in blocks on the diagonal, spread out, and spread out
    # with the rows and columns of the blocks shuffled alike, which changes only who comes when.
    n = 4096
    blocks = sp.kron(sp.eye_array(n // 4), np.ones((4, 4))).tocsr()
    rows = np.repeat(np.arange(n), 4)
    spread = sp.csr_array((np.ones(4 * n), (rows, (rows + np.tile([0, 1, 41, 1003], n)) % n)), shape=(n, n))
    order = np.random.default_rng(0).permutation(n)
    runs = [square(Csr.from_scipy(a)) for a in (blocks, spread, blocks[order][:, order])]
    assert {run.operations["multiplies"] for run in runs} == {16 * n}
    assert len({run.cycles for run in runs}) == 3
    for one, other in ((0, 1), (0, 2), (1, 2)):
        moved = sum(abs(runs[one].stalls[cause] - runs[other].stalls[cause]) for cause in runs[one].stalls)
        assert moved > 0.01 * (runs[one].cycles or 0)
    # Blocks meet in the merge: a quarter of the results, and fewer cycles to write and to merge them.
    assert runs[0].operations["results"] == runs[2].operations["results"] == 4 * n
    assert runs[1].operations["results"] > 8 * n
    assert runs[1].traffic_bytes["c"] > 2 * runs[0].traffic_bytes["c"]


def wide_rows() -> SpGEMM:
    """Rows of B of 6 kB, shared by a tile's PEs."""
    return SpGEMM(name="wide", a=random_csr(300, 8, 0.9, 1), b=random_csr(8, 1000, 0.5, 2))


def short_rows() -> SpGEMM:
    """An ordinary sparse square."""
    a = random_csr(600, 600, 0.015, 3)
    return SpGEMM(name="square", a=a, b=a)


def rows_of_one_chunk() -> SpGEMM:
    """Long rows of B that are copied: the least there is to merge."""
    return SpGEMM(name="copy", a=Csr.from_scipy(sp.csr_array(sp.eye_array(512))), b=random_csr(512, 1000, 0.1, 2))


Operands = Callable[[], SpGEMM]
UNBOUND: dict[str, object] = {"dispatch_cycles": 0, "hbm_channels": 64, "l0_mshrs": 256, "l1_mshrs": 256}
"""Nothing else holds back the requests."""
DIRECTIONS: list[tuple[str, Operands, dict[str, object], tuple[object, ...], float]] = [
    ("l0_bytes", wide_rows, {"dispatch_cycles": 0}, (2048, 4096, 16384, 65536), 0.9),
    ("outstanding_requests", rows_of_one_chunk, UNBOUND, (1, 2, 4, 16, 64), 0.94),
    ("hbm_channels", wide_rows, {"dispatch_cycles": 0}, (1, 4, 16, 64), 0.5),
    ("hbm_channels", short_rows, {}, (1, 4, 16), 0.7),
    ("dram_latency_s", short_rows, {}, (800e-9, 200e-9, 80e-9, 0.0), 0.8),
]


@pytest.mark.parametrize(("field", "operands", "setting", "values", "gain"), DIRECTIONS)
def test_more_of_a_resource_and_less_delay_take_fewer_cycles(
    field: str, operands: Operands, setting: dict[str, object], values: tuple[object, ...], gain: float
) -> None:
    cycles = []
    for value in values:
        design = OuterSpaceDesign(**{**setting, field: value})  # type: ignore[arg-type]
        cycles.append(OuterSpace(design).run(operands()).cycles or 0)
    # One step may cost 2 %: a greedy schedule has anomalies (Graham); the whole way must gain.
    assert all(later <= 1.02 * before for before, later in pairwise(cycles)), cycles
    assert cycles[-1] <= gain * cycles[0], cycles


def test_fewer_ports_than_pes_cost_cycles_and_a_port_for_each_costs_none() -> None:
    unbound = {"tiles": 1, "l1_caches": 1, "pes_per_tile": 8, "dispatch_cycles": 0, "hbm_channels": 64}
    one, every, own = (OuterSpace(OuterSpaceDesign(**unbound, l0_ports=n)).run(wide_rows()) for n in (1, 8, 0))
    assert every.cycles == own.cycles
    assert one.phases[0].cycles > 1.1 * own.phases[0].cycles  # type: ignore[operator]
    assert one.phases[1] == own.phases[1]
    assert one.area_parts["l0"] == own.area_parts["l0"] / 8


def test_without_a_second_level_every_miss_goes_to_memory_and_nothing_is_spent_on_it() -> None:
    with_l1, without = (square(short_rows().a, l1_bytes=n) for n in (4096, 0))
    counts = without.counters
    assert with_l1.counters["multiply_l1_hits"] > 0 == counts["multiply_l1_hits"] == counts["merge_l1_hits"]
    for phase in ("multiply", "merge"):
        assert counts[f"{phase}_l1_misses"] == counts[f"{phase}_l0_misses"]
    assert without.traffic_bytes["dram_read"] > with_l1.traffic_bytes["dram_read"]
    assert without.area_parts["l1"] == without.energy_parts["l1"] == 0


def test_published_queue_of_outstanding_requests_does_not_bind_at_the_published_dispatch() -> None:
    ours, doubled = (square(short_rows().a, outstanding_requests=n) for n in (64, 128))
    assert ours.cycles == doubled.cycles
    assert ours.stalls["outstanding_requests"] == 0


# Energy and area.


@pytest.mark.parametrize("case", list(UNIFORM))
def test_power_and_area_are_the_published_ones(uniform: dict[str, Result], case: str) -> None:
    assert uniform[case].power_w == pytest.approx(WHOLE["power"], rel=0.1)
    assert uniform[case].area_mm2 == pytest.approx(WHOLE["area"], rel=0.1)
    assert OuterSpaceDesign().power_w == pytest.approx(WHOLE["power"], rel=0.1)


def test_mean_activity_in_the_cost_table_is_the_model_s_own(uniform: dict[str, Result]) -> None:
    # The table splits the published mean power at these rates: they must be what the runs do.
    cost, design = table("outerspace"), OuterSpaceDesign()
    means: dict[str, list[float]] = {"cores on": [], "l0": [], "l1": [], "bytes": []}
    for result in uniform.values():
        counts, traffic = result.counters, result.traffic_bytes
        merging = next(phase.seconds for phase in result.phases if phase.name == "merge")
        gated = design.tiles * (design.pes_per_tile - design.merge_pes_per_tile)
        off = gated * (1 - cost["cores", "gated_share"].value)
        means["cores on"].append(273 - off * merging / result.seconds)
        l0 = counts["multiply_l0_hits"] + counts["multiply_l0_misses"] + counts["merge_l0_accesses"]
        means["l0"].append(l0 / result.seconds)
        means["l1"].append((counts["multiply_l0_misses"] + counts["merge_l0_misses"]) / result.seconds)
        means["bytes"].append((traffic["dram_read"] + traffic["dram_write"]) / result.seconds)
    assert fmean(means["cores on"]) == pytest.approx(cost["cores", "on"].value, rel=0.03)
    assert fmean(means["l0"]) == pytest.approx(cost["l0", "accesses_per_s"].value, rel=0.03)
    assert fmean(means["l1"]) == pytest.approx(cost["l1", "accesses_per_s"].value, rel=0.03)
    assert fmean(means["bytes"]) == pytest.approx(cost["dram", "bytes_per_s"].value, rel=0.03)


def test_area_scales_with_the_fields_that_make_it() -> None:
    own = OuterSpaceDesign()
    tiles, pes, l0 = (replace(own, **change) for change in ({"tiles": 32}, {"pes_per_tile": 32}, {"l0_bytes": 32768}))
    base = own.area_parts()
    assert math.fsum(base.values()) == own.area_mm2
    # 545 of 273 cores; every cache and crossbar twice.
    doubled = tiles.area_parts()
    assert doubled["cores"] == pytest.approx(base["cores"] * 545 / 273)
    assert (doubled["l0"], doubled["crossbar"]) == pytest.approx((2 * base["l0"], 2 * base["crossbar"]))
    # 529 cores; caches of 16 kB and 32 kB of scratchpads with twice the ports; crossbars by the square.
    more = pes.area_parts()
    assert more["cores"] == pytest.approx(base["cores"] * 529 / 273)
    assert more["l0"] == pytest.approx(base["l0"] * (16 + 32) / (16 + 16) * 2)
    assert more["crossbar"] == pytest.approx(4 * base["crossbar"])
    # 32 kB + 16 kB where it was 16 + 16; nothing else.
    larger = l0.area_parts()
    assert larger["l0"] == pytest.approx(base["l0"] * 1.5)
    assert {k: v for k, v in larger.items() if k != "l0"} == {k: v for k, v in base.items() if k != "l0"}
    assert replace(own, l1_bytes=8192).area_parts()["l1"] == pytest.approx(2 * base["l1"])
    for design in (tiles, pes, l0):
        assert design.area_mm2 > own.area_mm2
        assert design.power_w > own.power_w


def test_energy_parts_add_up_and_follow_what_happened() -> None:
    small, large = square(short_rows().a), square(random_csr(900, 900, 0.015, 3))
    for result in (small, large):
        assert math.fsum(result.energy_parts.values()) == result.energy_j
        assert set(result.energy_parts) == {"cores", "l0", "l1", "crossbar", "dram"}
        assert all(part > 0 for part in result.energy_parts.values())
    assert all(large.energy_parts[name] > part for name, part in small.energy_parts.items())


def test_energy_at_the_table_s_rates_is_the_published_power() -> None:
    # One second of the mean activity must give back each component's published power.
    cost, own = table("outerspace"), OuterSpaceDesign()
    seconds = 1e-3
    share_merging = (273 - cost["cores", "on"].value) / (128 * (1 - cost["cores", "gated_share"].value))
    phases = {}
    for name, share in (("multiply", 1 - share_merging), ("merge", share_merging)):
        counts = np.zeros(10, np.int64)
        accesses = round(cost["l0", "accesses_per_s"].value * seconds * share)
        misses = round(cost["l1", "accesses_per_s"].value * seconds * share)
        # Multiply counts hits and misses, merge accesses and misses.
        counts[:2] = (accesses - misses if name == "multiply" else accesses), misses
        bursts = np.array([round(cost["dram", "bytes_per_s"].value * seconds * share / 32), 0])
        none = np.zeros((1, 1), np.int64)
        cycles = round(seconds * share * own.clock_hz)
        phases[name] = PhaseRun(cycles, none, counts, bursts, none, 1, none, 1, none)
    energy = _outerspace_cost.energy_parts(own, own, phases)
    for name, part in energy.items():
        assert part / seconds == pytest.approx(cost[name, "power_w"].value, rel=1e-3), name


# Products, conversion, and inputs that are not ordinary.


def test_kept_products_equal_scipy() -> None:
    a, b = random_csr(80, 50, 0.1, 1), random_csr(50, 70, 0.1, 2)
    values = OuterSpace().run(SpGEMM(a=a, b=b), values=True).values
    assert values is not None
    assert np.allclose(values.to_scipy().toarray(), (a.to_scipy() @ b.to_scipy()).toarray(), rtol=1e-12)
    dense = np.random.default_rng(0).normal(size=(50, 6))
    values = OuterSpace().run(SpMM(a=a, n=6, b=dense), values=True).values
    assert values is not None
    assert np.allclose(values.to_scipy().toarray(), a.to_scipy() @ dense, rtol=1e-12)
    assert OuterSpace().run(SpGEMM(a=a, b=b)).values is None


def test_conversion_of_a_is_two_phases_before_an_unchanged_product() -> None:
    op = short_rows()
    plain, converted = (OuterSpace(OuterSpaceDesign(conversion=c)).run(op) for c in ("none", "a"))
    assert [phase.name for phase in plain.phases] == ["multiply", "merge"]
    assert [phase.name for phase in converted.phases] == ["convert-load", "convert-merge", "multiply", "merge"]
    assert converted.phases[2:] == plain.phases
    assert all(phase.seconds > 0 for phase in converted.phases)
    assert sum(phase.cycles or 0 for phase in converted.phases) == converted.cycles
    assert converted.operations == plain.operations
    # A goes out and in as it is turned: four times its elements at least.
    assert converted.traffic_bytes["conversion"] >= 4 * 12 * op.a.nnz
    rest = {name: size for name, size in converted.traffic_bytes.items() if name != "conversion"}
    assert rest == plain.traffic_bytes
    assert (converted.energy_j or 0) > (plain.energy_j or 0)


INVALID = [
    ({"l0_bytes": 3000}, "l0_bytes must be 4 ways x 64 bytes x a power of two of sets, got 3000"),
    ({"l1_bytes": 3072}, "l1_bytes must be 4 ways x 64 bytes x a power of two of sets, got 3072"),
    ({"merge_pes_per_tile": 32}, r"merge_pes_per_tile must be at most pes_per_tile \(16\), got 32"),
    ({"merge_pes_per_tile": 3}, "l0_bytes / merge_pes_per_tile must be 4 ways .*, got 5461"),
    ({"hbm_channels": 12}, "hbm_channels must be a power of two, got 12"),
    ({"burst_bytes": 128}, "burst_bytes must be at most block_bytes, got 128"),
    ({"block_bytes": 128, "hbm_row_bytes": 64}, "block_bytes must be at most hbm_row_bytes, got 128"),
    ({"l1_caches": 32}, r"l1_caches must be at most tiles \(16\), got 32"),
    ({"scratchpad_bytes": 64, "head_bytes": 64, "merge_pes_per_tile": 16}, "scratchpad_bytes must hold two heads"),
    ({"tiles": 0}, "tiles"),
    ({"clock_hz": 0.0}, "clock_hz"),
    ({"conversion": "both"}, "conversion"),
]


@pytest.mark.parametrize(("fields", "message"), INVALID)
def test_a_design_that_cannot_be_is_refused_in_one_line(fields: dict[str, object], message: str) -> None:
    with pytest.raises((InputError, InfeasibleError), match=message) as caught:
        OuterSpaceDesign(**fields)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_what_it_does_not_run_is_refused() -> None:
    assert not OuterSpace().supports(MatMul(m=2, n=2, k=2))
    with pytest.raises(InputError, match="outerspace: does not run matmul"):
        OuterSpace().run(MatMul(m=2, n=2, k=2))


def test_a_dense_operand_beyond_memory_or_not_finite_is_refused() -> None:
    a = random_csr(4, 4, 0.5, 1)
    with pytest.raises(
        InputError, match=r"spmm: b must hold at most 2\^27 elements to be simulated, got 4 x 1000000000"
    ):
        OuterSpace().run(SpMM(a=a, n=10**9))
    with pytest.raises(InputError, match="spmm: b must be finite"):
        OuterSpace().run(SpMM(a=a, n=1, b=np.full((4, 1), np.nan)))


@pytest.mark.parametrize("conversion", ["none", "a"])
def test_an_empty_matrix_is_answered_and_said_to_be_empty(conversion: str) -> None:
    empty = Csr.from_scipy(sp.csr_array((40, 40)))
    machine_ = OuterSpace(OuterSpaceDesign(conversion=conversion))
    for op in (SpGEMM(a=empty, b=empty), SpGEMM(a=random_csr(40, 40, 0.1, 1), b=empty), SpMM(a=empty, n=3)):
        result = machine_.run(op, values=True)
        assert result.operations["multiplies"] == result.operations["results"] == 0
        assert any("empty" in note for note in result.notes)
        assert result.values is not None
        assert result.values.nnz == 0
    nothing = OuterSpace().run(SpGEMM(a=empty, b=empty))
    assert (nothing.cycles, nothing.energy_j, sum(nothing.stalls.values())) == (0, 0.0, 0)
    assert nothing.traffic_bytes["dram_read"] == 0


@pytest.mark.parametrize("text", ["uniform:n=800,density=0.01,seed=3", "rmat:scale=9,edges=4000,seed=3"])
def test_equal_seeds_give_equal_bytes_and_others_other_cycles(text: str) -> None:
    first, second = (run_workload(machine("outerspace"), load(text)).to_json() for _ in range(2))
    assert first == second
    other = run_workload(machine("outerspace"), load(text.replace("seed=3", "seed=4")))
    assert other.to_json() != first


def test_operations_are_sparse_products_and_attention_under_a_mask() -> None:
    assert OuterSpace.operations == (SpGEMM, SpMM, SDDMM, Attention)
