"""The modelled CPU and GPU baselines: exact counts, sums that hold, sane on any sparse input."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp

from siloom.models.cpu import CpuDesign, XeonE51650v4
from siloom.models.gpu import H100, K40, GpuDesign, H100Design
from siloom.sim.errors import InputError
from siloom.sim.machine import Machine
from siloom.sim.ops import SDDMM, Collective, Operation, SpGEMM, SpMM
from siloom.sim.sparse import Csr

MACHINES: dict[str, Machine] = {
    "xeon-e5-1650v4": XeonE51650v4(),
    "k40-cusparse": K40(GpuDesign(library="cusparse")),
    "k40-cusp": K40(GpuDesign(library="cusp")),
    "h100-cusparse": H100(H100Design(library="cusparse")),
    "h100-cusp": H100(H100Design(library="cusp")),
}
each = pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)


def uniform(n: int, nnz: int, seed: int = 0, cols: int | None = None) -> Csr:
    cols = cols or n
    flat = np.sort(np.random.default_rng(seed).choice(n * cols, nnz, replace=False))
    return Csr.from_scipy(sp.coo_array((np.ones(nnz), (flat // cols, flat % cols)), shape=(n, cols)))


def hub(n: int) -> Csr:
    rows = np.r_[np.arange(n), np.zeros(n, np.int64), np.arange(n)]
    cols = np.r_[np.zeros(n, np.int64), np.arange(n), np.arange(n)]
    return Csr.from_scipy(sp.coo_array((np.ones(3 * n), (rows, cols)), shape=(n, n)))


def square(a: Csr) -> SpGEMM:
    return SpGEMM(a=a, b=a)


def empty(rows: int, cols: int) -> Csr:
    return Csr.from_scipy(sp.csr_array((rows, cols)))


OPERATIONS: dict[str, Operation] = {
    "uniform": square(uniform(500, 4000)),
    "hub": square(hub(400)),
    "rectangular": SpGEMM(a=uniform(90, 500, cols=300), b=uniform(300, 900, 1, cols=50)),
    "wide": SpGEMM(a=uniform(20, 40), b=uniform(20, 60, 1, cols=10**7)),
    "empty": square(empty(1000, 1000)),
    "empty-times-full": SpGEMM(a=empty(10, 500), b=uniform(500, 4000)),
    "spmm": SpMM(a=uniform(500, 4000), n=64),
    "spmm-empty": SpMM(a=empty(50, 60), n=8),
    "sddmm": SDDMM(mask=uniform(500, 4000), k=64),
    "sddmm-empty": SDDMM(mask=empty(50, 60), k=8),
}


@each
@pytest.mark.parametrize("op", OPERATIONS.values(), ids=OPERATIONS)
def test_result_holds_together(machine: Machine, op: Operation) -> None:
    assert machine.supports(op)
    result = machine.run(op)
    assert result.kind == "modelled" and result.cycles is None and result.clock_hz is None
    assert math.isfinite(result.seconds) and result.seconds > 0
    assert math.isclose(sum(p.seconds for p in result.phases), result.seconds, rel_tol=1e-12)
    assert all(p.seconds >= 0 and p.cycles is None for p in result.phases)
    assert all(isinstance(v, int) and v >= 0 for v in result.traffic_bytes.values())
    tensors = sum(v for k, v in result.traffic_bytes.items() if not k.startswith("dram"))
    assert abs(tensors - result.traffic_bytes["dram_read"] - result.traffic_bytes["dram_write"]) <= 4
    assert result.operations["multiplies"] == op.multiplies
    assert 0 <= result.operations["adds"] <= op.multiplies
    assert result.utilization is not None and 0 <= result.utilization <= 1
    assert result.peaks["bytes_per_s"] > 0 and result.peaks["operations_per_s"] > 0
    assert result.energy_j is not None and "assumed" in next(iter(result.energy_parts))
    json.loads(result.to_json())
    assert machine.run(op).to_json() == result.to_json()


@each
def test_never_faster_than_its_peaks(machine: Machine) -> None:
    for op in (square(uniform(2000, 60000)), SpMM(a=uniform(2000, 60000), n=256), SDDMM(mask=hub(900), k=128)):
        result = machine.run(op)
        moved = result.traffic_bytes["dram_read"] + result.traffic_bytes["dram_write"]
        flops = result.operations["multiplies"] + result.operations["adds"]
        assert result.seconds >= moved / result.peaks["bytes_per_s"]
        assert result.seconds >= flops / result.peaks["operations_per_s"]


@each
def test_more_entries_take_longer(machine: Machine) -> None:
    full = uniform(3000, 60000).to_scipy().tocoo()
    before = 0.0
    for kept in (0, 10, 1000, 5000, 20000, 60000):
        part = sp.coo_array((full.data[:kept], (full.row[:kept], full.col[:kept])), shape=full.shape)
        seconds = machine.run(square(Csr.from_scipy(part))).seconds
        assert seconds >= before
        before = seconds


@each
def test_an_empty_product_costs_overhead_only(machine: Machine) -> None:
    result = machine.run(square(empty(1000, 1000)))
    assert result.operations == {"multiplies": 0, "adds": 0, "effective_multiplies": 0, "results": 0}
    assert result.seconds < 2e-3
    assert result.utilization == 0


@each
def test_a_hub_takes_longer_than_the_same_work_spread_evenly(machine: Machine) -> None:
    # One row of A with every entry against one entry a row: equal non-zeros, multiplies and results.
    n = 4000
    b = uniform(n, 4 * n)
    row = Csr.from_scipy(sp.coo_array((np.ones(n), (np.zeros(n, np.int64), np.arange(n))), shape=(n, n)))
    diagonal = Csr.from_scipy(sp.eye_array(n).tocsr())
    spread, single = SpGEMM(a=diagonal, b=b), SpGEMM(a=row, b=b)
    assert spread.multiplies == single.multiplies
    slow, fast = (machine.run(SpMM(a=a, n=64)).seconds for a in (row, diagonal))
    assert slow > fast
    if getattr(machine.design, "library", "") != "cusp":
        phases = [{p.name: p.seconds for p in machine.run(op).phases} for op in (single, spread)]
        name = "products" if isinstance(machine, XeonE51650v4) else "symbolic"
        assert phases[0][name] > phases[1][name]


@each
@pytest.mark.parametrize("field", ["clock_hz", "bandwidth_bytes_per_s"])
def test_faster_parts_are_not_slower(machine: Machine, field: str) -> None:
    op = square(uniform(3000, 60000))
    quick = replace(machine.design, **{field: 2 * getattr(machine.design, field)})
    before, after = machine.run(op).seconds, type(machine)(quick).run(op).seconds
    assert before / 2 <= after <= before
    if field == "bandwidth_bytes_per_s":
        assert after < before


def test_clock_and_units_carry_the_work_on_chip() -> None:
    op = square(uniform(3000, 60000))
    for design, machine, count in ((CpuDesign(), XeonE51650v4, "cores"), (GpuDesign(), K40, "sms")):
        base = machine(design).run(op).seconds
        for field in ("clock_hz", count):
            more = replace(design, **{field: 2 * getattr(design, field)})
            assert machine(more).run(op).seconds < base


@each
def test_small_caches_bring_more_from_memory(machine: Machine) -> None:
    field = "l3_bytes" if isinstance(machine, XeonE51650v4) else "l2_bytes"
    op = square(uniform(20000, 200000))
    small = replace(machine.design, **{field: 4096})
    large = replace(machine.design, **{field: 2**30})
    few, many = (type(machine)(d).run(op).traffic_bytes["b"] for d in (large, small))
    assert many > few


def test_fixed_matrix_m500() -> None:
    rng = np.random.default_rng(0)
    mask = rng.random((500, 500)) < 0.01
    a = Csr.from_scipy(sp.csr_array((mask * rng.integers(1, 10, (500, 500))).astype(float)))
    for machine in MACHINES.values():
        found = machine.run(square(a)).operations
        assert (found["multiplies"], found["adds"], found["results"]) == (12_773, 288, 12_485)


@pytest.mark.parametrize(
    ("file", "multiplies", "adds", "results"),
    [("wiki-Vote.mtx", 4_542_805, 2_711_693, 1_831_112), ("p2p-Gnutella31.mtx.gz", 538_318, 717, 537_601)],
)
def test_real_matrices_count_exactly(shared_data: Path, file: str, multiplies: int, adds: int, results: int) -> None:
    op = square(Csr.from_scipy(scipy.io.mmread(shared_data / "matrices" / file)))
    for machine in MACHINES.values():
        found = machine.run(op).operations
        assert found == {
            "multiplies": multiplies,
            "adds": adds,
            "effective_multiplies": multiplies,
            "results": results,
        }


@each
def test_designs_describe_themselves(machine: Machine) -> None:
    design: Any = machine.design
    assert pickle.loads(pickle.dumps(design)) == design
    for name, about in design.parameters().items():
        assert about.source, name
    fitted = [about for about in design.parameters().values() if about.status == "fitted"]
    assert fitted and all("measure" in about.source or "reports/published" in about.source for about in fitted)
    with pytest.raises(InputError, match="clock_hz must be at least"):
        design.with_settings(machine.name, {"clock_hz": -1})


def test_variants_are_settings_of_the_design() -> None:
    for machine in (K40, H100):
        for name, settings in machine.variants.items():
            design = machine.design_type().with_settings(name, settings)
            assert name == f"{machine.name}-{design.library}"


@each
def test_other_operations_are_refused(machine: Machine) -> None:
    op = Collective(function="all-reduce", bytes_each=8, peers=2)
    assert not machine.supports(op)
    with pytest.raises(InputError, match="does not run collective"):
        machine.run(op)


def test_cusp_slices_beyond_sixteen_million_products() -> None:
    machine = K40(GpuDesign(library="cusp"))
    dense = Csr.from_scipy(sp.csr_array(np.ones((300, 300))))
    one = {p.name: p.seconds for p in machine.run(square(dense)).phases}
    two = {p.name: p.seconds for p in machine.run(SpGEMM(a=dense, b=dense)).phases}
    assert one == two
    tight = K40(GpuDesign(library="cusp", memory_bytes=3e7))
    assert tight.run(square(dense)).seconds > machine.run(square(dense)).seconds


def test_a_product_beyond_the_boards_memory_is_noted() -> None:
    tight = K40(GpuDesign(memory_bytes=1e6))
    notes = tight.run(square(uniform(3000, 60000))).notes
    assert any("exceeds the board's" in note for note in notes)


def test_counts_are_remembered_by_structure_and_bounded() -> None:
    from siloom.models import _sparse_library as library

    first = library.count_product(square(uniform(50, 100, seed=1000)))
    for seed in range(70):
        library.count_product(square(uniform(50, 100, seed=seed)))
    assert len(library._counted) <= 64
    again = uniform(50, 100, seed=1000)
    assert library.count_product(square(Csr(again.shape, again.indptr, again.indices, 2 * again.data))) == first
