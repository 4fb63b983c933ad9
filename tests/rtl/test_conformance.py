"""Does every unit's twin compute the same bits in the same cycles as its model?

Units are found by file name; a new pair is tested here without a line being added.
"""

from __future__ import annotations

import re

import pytest

pytest.importorskip("amaranth", reason="the optional part 'rtl' is not installed")

from siloom.rtl import api
from siloom.rtl.cosim import SIMULATORS
from siloom.rtl.registry import UnitBlock, find_unit, size_text, unit_names
from siloom.rtl.testing import make_cases
from siloom.rtl.verilator import lint
from siloom.sim.units import mac

CASES = [(name, size) for name in unit_names() for size in find_unit(name).sizes]
IDS = [f"{name}:{size_text(size)}" for name, size in CASES]


def test_every_twin_has_a_model_and_every_model_a_twin(repository):
    def stems(folder):
        return {p.stem for p in (repository / folder / "units").glob("*.py")} - {"__init__"}

    assert stems("rtl") <= stems("sim")
    assert set(unit_names()) == stems("rtl")
    for name in unit_names():
        assert find_unit(name).name == name


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize(("name", "size"), CASES, ids=IDS)
def test_twin_keeps_its_contract(name, size, simulator):
    vectors = 2000 if simulator == "amaranth" else 4000
    verdict = UnitBlock(find_unit(name), size).check(vectors, 7, simulator)
    assert verdict.passed, verdict
    assert verdict.vectors >= vectors
    assert verdict.model_cycles == verdict.rtl_cycles > vectors


@pytest.mark.parametrize(("name", "size"), CASES, ids=IDS)
def test_emitted_verilog_is_clean_under_every_lint_warning_and_holds_no_star_block(name, size, tmp_path):
    written = api.emit(f"{name}:{size_text(size)}", tmp_path / "out")
    text = written[0].read_text()
    assert "always @*" not in text
    assert re.findall(r"^module (\S+)\(", text, re.M) == [name]
    assert lint(written[0]) == []


def test_lint_sees_what_is_wrong(tmp_path):
    source = tmp_path / "bad.v"
    source.write_text("module bad(input a, output [1:0] b);\n  assign b = {1'b0, a} + 3'd1;\nendmodule\n")
    assert any("WIDTH" in complaint for complaint in lint(source))


def test_operands_reach_the_ends_of_a_saturating_sum():
    for size in (s for s in mac.UNIT.sizes if s.overflow == "saturate"):
        half = 2 ** (size.acc_bits - 1)
        case = next(c for c in make_cases(mac.contract(size), 8000, 7) if c.plan.name == "streaks")
        assert {-half, half - 1} <= set(case.answer.beats[:, 0].tolist())


def test_cases_are_the_same_for_a_seed_and_differ_between_seeds():
    contract = mac.contract(mac.Mac())
    first, again, other = (make_cases(contract, 400, seed) for seed in (1, 1, 2))
    assert [c.plan for c in first] == [c.plan for c in again]
    assert [c.plan for c in first] != [c.plan for c in other]


def test_small_beats_are_tried_exhaustively():
    contract = mac.contract(mac.UNIT.sizes[0])
    case = make_cases(contract, 100, 1)[-1]
    assert case.plan.name == "exhaustive"
    assert sorted(case.plan.feeds["i"].payloads) == list(range(1 << contract.inputs.bits))


def test_check_gives_a_row_per_size_and_simulator():
    seen = []
    rows = api.check(["mac:stages=1", "mac:a_bits=4"], vectors=64, seed=3, simulators=("amaranth",), on_row=seen.append)
    assert rows == seen
    assert [r["size"].split(",")[0] for r in rows] == ["a_bits=8", "a_bits=4"]
    columns = "name,kind,size,seed,vectors,mismatched_bits,model_cycles,rtl_cycles,simulator"
    assert ",".join(list(rows[0])[:9]) == columns
    assert rows[0]["passed"]
    assert (rows[0]["name"], rows[0]["kind"], rows[0]["seed"], rows[0]["mismatched_bits"]) == ("mac", "unit", 3, 0)
