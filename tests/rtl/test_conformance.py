"""Does every unit's twin compute the same bits in the same cycles as its model?

Units are found by file name; a new pair is tested here without a line being added. What is quick runs the smallest
size in Amaranth's own simulator; what is marked slow runs every size in Verilator under cocotb.
"""

from __future__ import annotations

import re
import secrets

import pytest

pytest.importorskip("amaranth", reason="the optional part 'rtl' is not installed")

from siloom.rtl import api
from siloom.rtl.cosim import SIMULATORS
from siloom.rtl.icarus import is_installed as icarus_is_installed
from siloom.rtl.registry import UnitBlock, find_blocks, find_unit, unit_names
from siloom.rtl.testing import make_cases
from siloom.rtl.verilator import lint
from siloom.rtl.verilog import verilog
from siloom.sim.units import mac

BLOCKS = [block for name in unit_names() for block in find_blocks(name)]
SMALLEST = [find_blocks(name)[0] for name in unit_names()]
every_size = pytest.mark.parametrize("block", BLOCKS, ids=[f"{b.name}:{b.size}" for b in BLOCKS])
smallest_size = pytest.mark.parametrize("block", SMALLEST, ids=[b.name for b in SMALLEST])


def test_every_twin_has_a_model_and_every_model_a_twin(repository):
    twins = {p.stem for p in (repository / "rtl" / "units").glob("*.py")} - {"__init__"}
    assert set(unit_names()) == twins
    assert {find_unit(name).name for name in unit_names()} == twins
    models = {p.stem for p in (repository / "sim" / "units").glob("*.py") if "\nUNIT = " in p.read_text()}
    assert models == twins


def passes(block, vectors, seed, simulator):
    verdict = block.check(vectors, seed, simulator)
    assert verdict.passed, (block.name, block.size, simulator, seed, verdict)
    assert verdict.mismatched_bits == verdict.mismatched_cycles == 0
    assert verdict.model_cycles == verdict.rtl_cycles
    assert verdict.vectors >= 0.9 * vectors  # a unit with rules for its operands may get a beat less
    return verdict


@smallest_size
def test_smallest_size_keeps_its_contract_in_the_amaranth_simulator(block):
    passes(block, 100, 7, "amaranth")


@pytest.mark.slow
@every_size
def test_every_size_keeps_its_contract_in_verilator(block):
    passes(block, 2000, 7, "verilator")


@pytest.mark.slow
@smallest_size
def test_smallest_size_keeps_its_contract_under_a_fresh_seed(block):
    passes(block, 20000, secrets.randbits(31), "cxxrtl")


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_every_simulator_says_the_same_of_mac(simulator):
    if simulator == "icarus" and not icarus_is_installed():
        pytest.skip("Icarus is not installed")
    block = UnitBlock(find_unit("mac"), mac.UNIT.sizes[0])
    assert passes(block, 2000, 7, simulator) == block.check(2000, 7, "amaranth")


@pytest.mark.slow
@every_size
def test_verilog_is_clean_under_every_lint_warning_and_holds_no_star_block(block, tmp_path):
    text = verilog(block.make(), block.name)
    assert "always @*" not in text
    assert f"module {block.name}(" in text
    (tmp_path / f"{block.name}.v").write_text(text)
    assert lint(tmp_path / f"{block.name}.v") == []


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


def test_check_gives_a_row_per_size_and_simulator_whatever_the_number_of_jobs():
    seen = []
    names = ["mac:stages=1", "mac:a_bits=4"]
    rows = api.check(names, vectors=64, seed=3, simulators=("amaranth",), on_row=seen.append)
    assert rows == seen
    assert [r["size"].split(",")[0] for r in rows] == ["a_bits=8", "a_bits=4"]
    columns = "name,kind,size,seed,vectors,mismatched_bits,model_cycles,rtl_cycles,simulator"
    assert ",".join(list(rows[0])[:9]) == ",".join(api.CSV_COLUMNS) == columns
    assert rows[0]["passed"]
    assert (rows[0]["name"], rows[0]["kind"], rows[0]["seed"], rows[0]["mismatched_bits"]) == ("mac", "unit", 3, 0)
    assert api.check(names, vectors=64, seed=3, simulators=("amaranth",), jobs=2) == rows


@pytest.mark.parametrize("simulator", ["amaranth", "verilator", "icarus"])
def test_waveforms_hold_the_streams_by_name(simulator, tmp_path):
    if simulator == "icarus" and not icarus_is_installed():
        pytest.skip("Icarus is not installed")
    api.check(["mac:stages=2"], vectors=64, seed=3, simulators=(simulator,), waves=tmp_path / "waves")
    (file,) = (tmp_path / "waves").iterdir()
    assert file.stat().st_size > 1000
    if file.suffix == ".vcd":
        text = file.read_text()
        assert re.search(r"\$var \w+ 1 \S+ (i__valid|s_axis_tvalid)", text)
