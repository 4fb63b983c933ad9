"""Does the GPU's GEMM model meet what was measured, hold its bounds, and lose time where it says?"""

from __future__ import annotations

import importlib.util
import math
import random
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.models._gpu_board import DenseBoard
from siloom.models._gpu_gemm import (
    K_STEP_BYTES,
    SPLITS,
    TILES,
    GemmCosts,
    GemmProblem,
    estimate_gemm,
    estimate_setting,
    k_step,
    menu,
)
from siloom.models.gpu import A100Design, H100Design, V100Design
from siloom.reports.reproduce import published
from siloom.sim.cost import table
from siloom.workloads.registry import load

A100 = A100Design().dense_board("a100")
H100 = H100Design().dense_board("h100")
V100 = V100Design().dense_board("v100")
FIT = {name: e.value for (_, name), e in table("gpu_gemm_fit").items()}
COSTS = GemmCosts(FIT["call_s"], FIT["math_efficiency"], FIT["operand_bytes_per_clock"], 0.5)
FREE = GemmCosts(0.0, 1.0, 1e30, 1.0)
"""A library without any loss but those of tiles and waves."""


def fp16(m: int, n: int, k: int, batch: int = 1, skips24: bool = False) -> GemmProblem:
    return GemmProblem(m, n, k, batch, "fp16", "fp16", skips24)


@pytest.fixture(scope="module")
def fit(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("siloom_fit_gemm", repository / "benchmarks" / "fit_gpu_gemm.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_table_is_what_the_fit_gives_and_says(fit: ModuleType) -> None:
    assert fit.table_text(fit.report()) == fit.TABLE.read_text()


def test_the_published_rows_are_those_of_the_data_folder(shared_data: Path) -> None:
    lines = (shared_data / "gpu_gemm_measured.csv").read_text().splitlines()
    rows = [line.split(",") for line in lines if line.startswith("A100")]
    given = {f"gemm:m={m},n={n},k={k}": float(ms) for _, _, m, n, k, ms in rows}
    assert {row.case: row.value for row in published("gpu_gemm")} == given


def test_errors_are_within_five_percent_of_the_measured_times() -> None:
    errors = []
    for row in published("gpu_gemm"):
        (item,) = load(row.case).items
        p = fp16(item.op.m, item.op.n, item.op.k)  # type: ignore[attr-defined]
        errors.append(estimate_gemm(A100, COSTS, p).seconds * 1e3 / row.value - 1)
    assert np.abs(errors).mean() == pytest.approx(FIT["error_mean"], abs=6e-4)
    assert np.abs(errors).mean() < 0.05
    assert FIT["error_max_leave_one_out"] < 0.10


def test_fitted_constants_mean_something() -> None:
    fitted = [name for name in FIT if not name.startswith("error")]
    assert len(fitted) <= 4
    assert 1e-6 < FIT["call_s"] < 1e-4
    # The largest tile keeps 85 to 100 % of the tensor cores' peak, as large products were seen to.
    per_clock = A100.tensor_flops["fp16"] / (2 * A100.sms * A100.clock_hz)
    h = per_clock * 2 / FIT["operand_bytes_per_clock"]
    intensity = 256 * 128 / (256 + 128)
    assert 0.85 < FIT["math_efficiency"] * intensity / (intensity + h) < 1.0


def test_the_stated_efficiency_law_is_what_a_setting_follows() -> None:
    # A deep product that fills its waves exactly: rate = peak * ai / (ai + h), but for one step of k.
    for tm, tn in TILES:
        p = fp16(tm * 12, tn * 9, 2**16)
        found = estimate_setting(A100, replace(COSTS, call_s=0.0), p, (tm, tn), 1)
        assert (found.tiles, found.waves) == (108, 1)
        h = 1024 * 2 / COSTS.operand_bytes_per_clock
        ai = tm * tn / (tm + tn)
        busy = found.seconds - found.parts["memory"]
        rate = 2 * p.m * p.n * p.k / busy
        assert rate == pytest.approx(A100.tensor_flops["fp16"] * ai / (ai + h) / (1 + 32 / 2**16), rel=1e-4)


def plain_time(board: DenseBoard, m: int, n: int, k: int, tile: tuple[int, int], split: int) -> float:
    """Tiles handed out one by one to the multiprocessor that is free first; no costs but the multiply-adds."""
    tm, tn = tile
    step = K_STEP_BYTES // 2
    steps = math.ceil(math.ceil(k / split) / step)
    depth = (steps if split == 1 else max(8, steps)) * step + step
    free = [0.0] * board.sms
    for _ in range(math.ceil(m / tm) * math.ceil(n / tn) * split):
        first = free.index(min(free))
        free[first] += tm * tn * depth / 1024 / board.clock_hz
    return max(free)


def test_waves_equal_handing_out_tiles_one_by_one() -> None:
    rng = random.Random(5)
    fast = replace(A100, bandwidth_bytes_per_s=1e30, launch_s=0.0)
    for _ in range(40):
        m, n, k = rng.randint(1, 4000), rng.randint(1, 4000), rng.randint(1, 3000)
        tile, split = rng.choice(TILES[:6]), rng.choice(SPLITS)
        found = estimate_setting(fast, FREE, fp16(m, n, k), tile, split)
        assert found.seconds == pytest.approx(plain_time(fast, m, n, k, tile, split), rel=1e-9)


@pytest.mark.parametrize("skips24", [False, True])
def test_no_setting_beats_peak_or_bandwidth_and_all_causes_are_losses(skips24: bool) -> None:
    rng = random.Random(7)
    for _ in range(200):
        p = fp16(
            *(int(2 ** rng.uniform(0, 14)) for _ in range(2)),
            4 * int(2 ** rng.uniform(0, 12)),
            rng.randint(1, 3),
            skips24,
        )
        found = estimate_gemm(A100, COSTS, p)
        assert all(part >= -1e-18 for part in found.parts.values())
        peak = A100.tensor_flops["fp16"] * (2 if skips24 else 1)
        assert found.parts["compute"] == pytest.approx(2 * p.batch * p.m * p.n * p.k / peak, rel=1e-12)
        moved = sum(found.read.values()) + sum(found.written.values())
        assert moved >= p.operand_bytes * (1 - 1e-12)
        assert found.seconds * A100.bandwidth_bytes_per_s >= moved
        assert found.multiplies >= p.batch * p.m * p.n * p.k // (2 if skips24 else 1)
        for tile, split in menu(p):
            assert estimate_setting(A100, COSTS, p, tile, split).seconds >= found.seconds - 2e-12


def test_one_tile_beyond_a_full_wave_costs_a_wave() -> None:
    tile = (128, 128)
    full = estimate_setting(A100, FREE, fp16(128 * 108, 128, 4096), tile, 1)
    over = estimate_setting(A100, FREE, fp16(128 * 109, 128, 4096), tile, 1)
    assert (full.waves, over.waves) == (1, 2)
    assert full.parts["wave_quantisation"] == pytest.approx(0, abs=1e-12)
    assert over.parts["wave_quantisation"] / over.seconds == pytest.approx(107 / 216, rel=0.02)


def test_a_row_beyond_a_tile_costs_a_tile() -> None:
    tile = (128, 128)
    even = estimate_setting(A100, FREE, fp16(1280, 1280, 4096), tile, 1)
    more = estimate_setting(A100, FREE, fp16(1281, 1280, 4096), tile, 1)
    assert even.parts["tile_quantisation"] == pytest.approx(0, abs=1e-15)
    assert more.tiles == even.tiles + 10
    wasted = (11 * 128 * 1280 - 1281 * 1280) / (1281 * 1280)
    assert more.parts["tile_quantisation"] / more.parts["compute"] == pytest.approx(wasted, rel=1e-9)


def test_a_deep_product_with_few_tiles_is_cut_along_k() -> None:
    deep = estimate_gemm(A100, COSTS, fp16(256, 256, 65536))
    assert deep.split_k > 1 and deep.parts["split_k"] > 0
    assert deep.read["partial"] == deep.written["partial"] == deep.split_k * 256 * 256 * 4
    best_whole = min(estimate_setting(A100, COSTS, fp16(256, 256, 65536), t, 1).seconds for t in TILES)
    assert deep.seconds < best_whole
    assert estimate_gemm(A100, COSTS, fp16(8192, 8192, 1024)).split_k == 1


def test_short_products_are_not_cut() -> None:
    assert {split for _, split in menu(fp16(64, 64, 256))} == {1}
    assert {split for _, split in menu(fp16(64, 64, 257))} == set(SPLITS)
    # A part is waited for as if it had eight steps: cut in two, 9 to 16 of them cost the same.
    short, long = (estimate_setting(A100, COSTS, fp16(64, 64, 32 * steps), (64, 64), 2) for steps in (9, 16))
    assert short.seconds == pytest.approx(long.seconds, rel=1e-12) and short.multiplies < long.multiplies
    assert k_step("fp16") == 32 and k_step("fp32") == 16 and k_step("int4") == 128


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_more_work_never_takes_less_time(data: st.DataObject) -> None:
    """Sizes in pieces of 16, so that alignment is the same. A longer k may be cut more often."""
    sizes = {name: 16 * data.draw(st.one_of(st.integers(1, 12), st.integers(1, 300)), name) for name in "mnk"}
    sizes["batch"] = data.draw(st.integers(1, 6), "batch")
    name = data.draw(st.sampled_from(sorted(sizes)), "which")
    more = {**sizes, name: sizes[name] + (1 if name == "batch" else 16) * data.draw(st.integers(1, 20), "more")}
    for board in (A100, H100, V100):
        less_s, more_s = (estimate_gemm(board, COSTS, fp16(*of.values())).seconds for of in (sizes, more))
        assert more_s >= less_s * (1 - 1e-9)


def test_a_thin_product_streams_its_weights() -> None:
    # One row through 12288 x 12288 weights: their bytes at streaming bandwidth and the call.
    found = estimate_gemm(A100, COSTS, fp16(1, 12288, 12288))
    streamed = 2 * (12288**2 + 2 * 12288) / (2039e9 * 0.88)
    assert found.seconds == pytest.approx(COSTS.call_s + streamed, rel=1e-6)


@pytest.mark.parametrize(("k", "share"), [(4096, 1.0), (4100, 0.5 ** (1 / 3)), (4098, 0.5 ** (2 / 3)), (4097, 0.5)])
def test_rows_off_16_bytes_lower_the_rate(k: int, share: float) -> None:
    found = estimate_setting(A100, COSTS, fp16(4096, 4096, k), (256, 128), 1)
    busy = math.fsum(v for c, v in found.parts.items() if c not in ("launch", "memory", "split_k", "alignment"))
    assert found.parts["alignment"] == pytest.approx(busy * (1 / share - 1), rel=1e-9, abs=1e-18)
    n = estimate_setting(A100, COSTS, fp16(4096, k, 4096), (256, 128), 1)
    assert (n.parts["alignment"] > 0) == (share < 1)


def test_24_halves_the_weights_but_for_their_metadata() -> None:
    dense, sparse = fp16(512, 1024, 2048), fp16(512, 1024, 2048, skips24=True)
    assert dense.b_bytes == 2 * 1024 * 2048
    assert sparse.b_bytes == 1024 * 2048 // 2 * (16 + 2) / 8
    eight = GemmProblem(8, 8, 64, 1, "int8", "int8", True)
    assert eight.b_bytes / (8 * 64) == 0.625


def test_24_never_doubles_the_rate_and_nears_it_for_large_products() -> None:
    gains = []
    for size in (256, 512, 1024, 4096, 16384):
        dense, sparse = (estimate_gemm(A100, COSTS, fp16(size, size, size, skips24=s)).seconds for s in (False, True))
        gains.append(dense / sparse)
    assert all(before <= after + 0.02 for before, after in pairwise(gains))
    assert gains[0] < 1.1 and 1.5 < gains[-1] < 2.0


def test_operands_larger_than_the_cache_are_read_again() -> None:
    small = estimate_gemm(A100, COSTS, fp16(1024, 1024, 1024))
    assert (small.read["a"], small.read["b"]) == (2 * 1024**2, 2 * 1024**2)
    huge = estimate_gemm(A100, COSTS, fp16(16384, 16384, 16384))
    assert huge.read["a"] > 2 * 16384**2
    wide = replace(A100, l2_bytes=1e12)
    assert estimate_gemm(wide, COSTS, fp16(16384, 16384, 16384)).read["a"] == 2 * 16384**2
