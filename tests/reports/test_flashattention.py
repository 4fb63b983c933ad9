"""Does ``siloom reproduce flashattention`` reach what was published, and say honestly what was fitted?"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from statistics import fmean
from types import ModuleType

import pytest

from siloom import run
from siloom.reports.experiments import flashattention
from siloom.reports.experiments.flashattention import Constants, error_of, held_out, in_fit, simulated_rate
from siloom.reports.reproduce import Table, published
from siloom.sim.cost import table

ROWS = published("flashattention")
RATES = [r for r in ROWS if r.unit == "TFLOP/s"]


@pytest.fixture(scope="module")
def fit(repository: Path) -> ModuleType:
    path = repository / "benchmarks" / "fit_flashattention.py"
    spec = importlib.util.spec_from_file_location("siloom_fit_flashattention", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tables() -> list[Table]:
    return list(flashattention.tables(None, lambda _: None))


def test_bytes_of_gpt2_medium_are_the_published_ones(tables: list[Table]) -> None:
    found = {row["quantity"]: row for row in tables[0].rows if row["published"] is not None}
    for quantity, value in (("standard, mask and dropout: HBM", 40.3), ("flash1: HBM", 4.4)):
        assert found[quantity]["published"] == value
        assert found[quantity]["simulated"] == pytest.approx(value, rel=0.05)


def test_standard_attention_is_near_what_was_measured_at_every_length() -> None:
    """Nothing is fitted on it; the shortest, where copies are most of the work, is the furthest off."""
    errors = [abs(error_of(row)) for row in RATES if row.quantity == "standard"]
    assert len(errors) == 5
    assert fmean(errors) < 0.1 and max(errors) < 0.2


def test_bytes_of_gpt2_medium_by_hand(tables: list[Table]) -> None:
    scores, u = 64 * 16 * 1024**2 * 2, 64 * 16 * 1024 * 64 * 2
    found = {row["quantity"]: row["simulated"] * 1e9 for row in tables[0].rows}
    # Eighteen passes over the scores, twelve over operands; the mask itself is read once.
    mask = 1024**2 * 2
    assert found["standard, mask and dropout: HBM"] == pytest.approx(18 * scores + 12 * u + mask)
    # Four blocks of 256 keys. Forward: K, V, and Q, O in and out for each, but for the first O in;
    # backward: K, V, dK, dV, O, and Q, dO, dQ in and out for each, but for the first dQ in.
    statistics = 64 * 16 * 1024 * 4 * ((3 + 4) + (4 + 3 + 1))
    assert found["flash1: HBM"] == pytest.approx((2 + 4 * 3 - 1 + 5 + 4 * 4 - 1) * u + statistics)


def test_a_run_alone_gives_the_bytes_of_the_papers_case() -> None:
    case = "attention:seq=1024,heads=16,dim=64,batch=64,mask=1,dropout=1"
    assert {r.case for r in ROWS if r.table == "gpt2-medium"} == {case}
    moved = {}
    for algorithm in ("standard", "flash1"):
        passes = [run(f"a100:attention={algorithm}", f"{case},pass={which}") for which in ("fwd", "bwd")]
        moved[algorithm] = sum(r.traffic_bytes["dram_read"] + r.traffic_bytes["dram_write"] for r in passes) / 1e9
    assert moved["standard"] == pytest.approx(40.3, rel=0.05)
    assert moved["flash1"] == pytest.approx(4.4, rel=0.05)


@pytest.mark.parametrize("version", ["flash2", "flash3"])
def test_the_h100_table_is_met_in_every_column(version: str) -> None:
    cells = [r for r in RATES if r.table == "h100" and r.quantity == version]
    assert len(cells) in (12, 18)
    assert fmean(abs(error_of(c)) for c in cells) < 0.06
    outside = [abs(error_of(c)) for c in cells if held_out(c)]
    assert fmean(outside) < 0.06 and max(outside) < 0.15


def test_what_was_not_fitted_is_met_too() -> None:
    outside = [r for r in RATES if held_out(r)]
    assert len(outside) == 34
    seen = {(flashattention.board_of(r.table).name, r.case, r.quantity) for r in RATES if in_fit(r)}
    assert not [r for r in outside if (flashattention.board_of(r.table).name, r.case, r.quantity) in seen]
    assert fmean(abs(error_of(r)) for r in outside) < 0.06
    # Backward on Hopper: its constant is the A100's. (Version 3's causal rows are of a later release,
    # which starts the longest tiles first.)
    backward = [r for r in outside if r.table == "h100-backward" and "pass=bwd" in r.case]
    assert len(backward) == 4 and all(abs(error_of(r)) < 0.07 for r in backward)
    assert all(abs(error_of(r)) < 0.10 for r in outside if r.table == "headline")


def test_the_fit_gives_the_table(fit: ModuleType) -> None:
    inside = [r for r in ROWS if in_fit(r)]
    assert {r.table for r in inside} == {"h100", "a100"} and len(inside) == 14
    values = fit.fit(inside)
    stored = [table("gpu_attention")[key].value for key in fit.CONSTANTS]
    assert values == pytest.approx(stored, rel=5e-3)
    constants = fit.constants_of(stored)
    assert constants == Constants.of_tables()
    errors = {name: e.value for (owner, name), e in table("gpu_attention").items() if owner == "error"}
    assert errors["mean"] == pytest.approx(fit.errors(inside, constants), abs=1e-3)
    outside = [r for r in ROWS if held_out(r)]
    assert errors["mean_held_out"] == pytest.approx(fit.errors(outside, constants), abs=1e-3)
    text = fit.TABLE.read_text(encoding="utf-8")
    assert fit.table_text(text, stored, errors["mean"], errors["mean_held_out"]) == text


def test_half_of_the_fitted_cells_would_have_given_the_same_constants(fit: ModuleType) -> None:
    inside = [r for r in ROWS if in_fit(r)]
    stored = [table("gpu_attention")[key].value for key in fit.CONSTANTS]
    for start in (0, 1):
        part = [r for r in inside if r.table == "a100"] + [r for r in inside if r.table == "h100"][start::2]
        assert fit.fit(part) == pytest.approx(stored, rel=0.15)


def test_every_published_number_is_printed_with_its_error(tables: list[Table]) -> None:
    cells = [*tables[1].rows, *tables[3].rows]
    assert len(cells) == len(RATES)
    assert sorted(row["published"] for row in cells) == sorted(r.value for r in RATES)
    for row in tables[1].rows:
        assert row["error"] == f"{row['simulated'] / row['published'] - 1:+.1%}"
    assert sum(row["fitted"] == "yes" for row in cells) == 14


def test_rates_count_flops_as_the_papers_do() -> None:
    row = next(r for r in RATES if r.table == "h100-backward" and "causal=1,pass=bwd" in r.case)
    seconds = flashattention.estimate(row).seconds
    flops = 2.5 * 0.5 * 4 * 8192**2 * 128 * 16 * 2
    assert simulated_rate(row) == pytest.approx(flops / seconds / 1e12)


def test_the_h20_differs_from_the_h100_where_it_should() -> None:
    h20, h100 = flashattention.board_of("h20"), flashattention.board_of("h100")
    assert h20.sms == 78 and h20.tensor_flops["fp16"] == 148e12
    assert h20.exp_per_s / h20.sms == h100.exp_per_s / h100.sms
    assert h20.fp32_flops / h20.sms == pytest.approx(h100.fp32_flops / h100.sms)
