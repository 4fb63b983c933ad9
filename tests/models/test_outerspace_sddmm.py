"""SDDMM on OuterSPACE: one phase, exact counts, values, reuse of rows, and masks from files."""

from __future__ import annotations

import math
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from siloom.models.outerspace import OuterSpace, OuterSpaceDesign
from siloom.models.registry import machine
from siloom.sim.errors import InputError
from siloom.sim.machine import run_workload
from siloom.sim.ops import SDDMM
from siloom.sim.result import Result
from siloom.sim.sparse import Csr
from siloom.sim.testing import random_csr
from siloom.workloads.registry import load


def sample(mask: Csr, k: int = 64, **design: object) -> Result:
    """A run of SDDMM."""
    return OuterSpace(OuterSpaceDesign(**design)).run(SDDMM(name="scores", mask=mask, k=k))  # type: ignore[arg-type]


def ones(positions: np.ndarray) -> Csr:
    """A mask of the true positions."""
    return Csr.from_scipy(sp.csr_array(positions.astype(float)))


def test_it_is_one_phase_with_exact_counts() -> None:
    mask = random_csr(200, 150, 0.05, 1)
    result = sample(mask, 24)
    assert [phase.name for phase in result.phases] == ["sample"]
    assert result.operations == {
        "multiplies": mask.nnz * 24,
        "adds": mask.nnz * 23,
        "effective_multiplies": mask.nnz * 24,
        "effective_adds": mask.nnz * 23,
        "results": mask.nnz,
    }
    assert result.counters["sample_positions"] == mask.nnz
    assert sum(result.stalls.values()) == result.cycles
    assert result.stalls["compute"] > 0
    assert math.fsum(result.energy_parts.values()) == result.energy_j
    assert result.area_mm2 == OuterSpaceDesign().area_mm2
    assert result.timeline is not None
    assert set(result.timeline.lanes) == {"tile", "channel"}


def test_payload_is_the_mask_the_rows_it_needs_once_and_one_element_a_position() -> None:
    positions = np.zeros((10, 9), bool)
    positions[2, [1, 3, 4]] = positions[7, [3, 8]] = True
    result = sample(ones(positions), 16)
    traffic = result.traffic_bytes
    # Five indices, four columns of which three are odd and padded, nine pointers padded to ten.
    assert traffic["a"] == 5 * 4 + 3 * 4 + 10 * 4
    assert traffic["x"] == 2 * 16 * 12
    assert traffic["y"] == 4 * 16 * 12
    assert traffic["c"] == 5 * 12
    assert traffic["padding"] == traffic["dram_read"] + traffic["dram_write"] - sum(
        traffic[name] for name in ("a", "x", "y", "c")
    )
    # A result of 12 bytes lies in one burst of 32 or in two.
    assert 5 * 32 <= traffic["dram_write"] <= 2 * 5 * 32


@pytest.mark.parametrize("seed", range(4))
def test_values_equal_numpy_and_the_mask_s_own_do_not_scale(seed: int) -> None:
    mask = random_csr(40, 30, 0.2, seed)
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(40, 12)), rng.normal(size=(12, 30))
    result = OuterSpace().run(SDDMM(mask=mask, k=12, x=x, y=y), values=True)
    assert result.values is not None
    expected = np.where(mask.to_scipy().toarray() != 0, x @ y, 0.0)
    assert np.array_equal(result.values.indptr, mask.indptr)
    assert np.array_equal(result.values.indices, mask.indices)
    assert np.allclose(result.values.to_scipy().toarray(), expected, rtol=1e-12, atol=1e-12)
    assert result.checks["largest_relative_error"] < 1e-12
    ones_only = OuterSpace().run(SDDMM(mask=mask, k=12), values=True).values
    assert ones_only is not None
    assert np.all(ones_only.data == 12)
    assert OuterSpace().run(SDDMM(mask=mask, k=12)).values is None


def test_data_do_not_change_the_time() -> None:
    mask = random_csr(40, 30, 0.2, 1)
    rng = np.random.default_rng(1)
    given = OuterSpace().run(SDDMM(mask=mask, k=8, x=rng.normal(size=(40, 8)), y=rng.normal(size=(8, 30))))
    absent = OuterSpace().run(SDDMM(mask=mask, k=8))
    assert (given.cycles, given.traffic_bytes) == (absent.cycles, absent.traffic_bytes)


@pytest.mark.parametrize("shape", [(40, 40), (0, 5), (5, 0), (0, 0)])
def test_an_empty_mask_is_answered_and_said_to_be_empty(shape: tuple[int, int]) -> None:
    result = OuterSpace().run(SDDMM(mask=Csr.from_scipy(sp.csr_array(shape)), k=4), values=True)
    assert result.cycles == 0
    assert result.notes == ("the mask is empty: there is nothing to compute",)
    assert result.operations["multiplies"] == result.operations["results"] == 0
    assert result.traffic_bytes["dram_read"] == result.traffic_bytes["dram_write"] == 0
    assert result.values is not None
    assert result.values.nnz == 0


def test_a_mask_that_needs_few_rows_reads_less_than_one_that_needs_many() -> None:
    # 4,096 positions: a dense square, the diagonals of a band, spread over all rows and columns.
    n = 4096
    square, band, spread = np.zeros((n, n), bool), np.zeros((n, n), bool), np.zeros((n, n), bool)
    square[:64, :64] = True
    band[np.arange(n) % 1024, (np.arange(n) % 1024 + np.arange(n) // 1024) % n] = True
    spread[np.arange(n), np.random.default_rng(0).permutation(n)] = True
    runs = [sample(ones(mask), 32) for mask in (square, band, spread)]
    assert {run.operations["multiplies"] for run in runs} == {n * 32}
    reads = [run.traffic_bytes["dram_read"] for run in runs]
    assert reads[0] < reads[1] < reads[2]
    hits = [run.counters["sample_l0_hits"] for run in runs]
    assert hits[0] > hits[2]
    assert len({run.cycles for run in runs}) == 3
    # Both rows of every position come from memory where nothing is shared.
    assert reads[2] >= 2 * n * 32 * 12


def test_more_of_a_resource_and_less_delay_take_fewer_cycles() -> None:
    mask = random_csr(300, 300, 0.04, 1)
    fast: dict[str, object] = {"dispatch_cycles": 0, "hbm_channels": 64, "l0_mshrs": 256, "l1_mshrs": 256}
    steps: list[tuple[str, tuple[object, ...], float]] = [
        ("dispatch_cycles", (1000, 165, 20, 0), 0.3),
        ("hbm_channels", (1, 4, 16), 0.6),
        ("dram_latency_s", (800e-9, 200e-9, 80e-9, 0.0), 0.6),
        ("outstanding_requests", (1, 2, 8, 64), 0.7),
        ("l0_bytes", (2048, 8192, 65536), 0.97),
        ("element_cycles", (16, 4, 1), 0.7),
    ]
    for field, values, gain in steps:
        cycles = [sample(mask, 64, **{**fast, field: value}).cycles or 0 for value in values]
        assert all(later <= 1.02 * before for before, later in pairwise(cycles)), (field, cycles)
        assert cycles[-1] <= gain * cycles[0], (field, cycles)


def test_cycles_keep_to_the_closed_forms() -> None:
    mask, k, design = random_csr(150, 220, 0.06, 4), 64, OuterSpaceDesign()
    result = sample(mask, k)
    cycles = result.cycles or 0
    assert cycles >= mask.nnz * k * design.element_cycles / design.pes
    # Each tile's controller hands out one position in dispatch_cycles.
    assert cycles >= (mask.nnz / design.tiles - 1) * design.dispatch_cycles
    moved = result.traffic_bytes["dram_read"] + result.traffic_bytes["dram_write"]
    assert result.seconds >= moved / design.dram_bytes_per_s
    # One position: its two rows one block after another, no more than a few latencies.
    one = sample(ones(np.ones((1, 1), bool)), k).cycles or 0
    assert k <= one <= k + 6 * design.cycles(design.dram_latency_s + design.activate_s)


def test_conversion_turns_the_mask_first() -> None:
    mask = random_csr(60, 80, 0.1, 1)
    plain, converted = sample(mask, 8), sample(mask, 8, conversion="a")
    assert [phase.name for phase in converted.phases] == ["convert-load", "convert-merge", "sample"]
    assert converted.phases[-1:] == plain.phases
    assert converted.traffic_bytes["conversion"] > 0
    assert "conversion" not in plain.traffic_bytes


def test_equal_inputs_give_equal_bytes() -> None:
    mask = random_csr(60, 80, 0.1, 1)
    assert sample(mask).to_json() == sample(random_csr(60, 80, 0.1, 1)).to_json()


def test_work_beyond_the_counters_and_sides_that_are_not_finite_are_refused() -> None:
    mask = random_csr(30, 30, 0.5, 1)
    with pytest.raises(InputError, match=r"could take 2\^47 cycles or more; nothing was simulated"):
        sample(mask, 10**11)
    with pytest.raises(InputError, match=r"x and y must hold below 2\^60 bytes"):
        sample(Csr.from_scipy(sp.csr_array((30, 30))), 2**58)
    with pytest.raises(InputError, match="sddmm: x must be finite"):
        OuterSpace().run(SDDMM(mask=mask, k=2, x=np.full((30, 2), np.inf)))


def test_a_kept_file_runs_all_its_masks(tmp_path: Path) -> None:
    kept = np.random.default_rng(0).random((2, 3, 24, 24)) < 0.2
    path = tmp_path / "masks.npz"
    np.savez(path, kept=kept)
    result = run_workload(machine("outerspace"), load(path))
    assert result.coverage == {"operations": 1.0, "flops": 1.0}
    assert [row["kind"] for row in result.rows] == ["sddmm", "spmm"] * 6
    assert sum(phase.name.endswith("sddmm: sample") for phase in result.phases) == 6
    assert result.operations["multiplies"] == 2 * 64 * int(kept.sum())
    assert sum(result.stalls.values()) == result.cycles


def test_the_masks_of_a_vision_transformer_run_within_seconds(shared_data: Path) -> None:
    path = shared_data / "vitcod_deit_tiny_mask_95.npz"
    if not path.is_file():
        pytest.skip("vitcod_deit_tiny_mask_95.npz is absent from the shared data")
    workload = load(path)
    assert len(workload.items) == 2 * 36
    begin = time.process_time()
    result = run_workload(machine("outerspace"), workload)
    assert time.process_time() - begin < 60
    assert not result.unsupported
    masks = [item.op.mask for item in workload.items if isinstance(item.op, SDDMM)]
    assert result.operations["effective_multiplies"] == workload.flops // 2
    assert result.counters["sample_positions"] == sum(mask.nnz for mask in masks)
