"""Does the hardware of every machine compute what its model does, in as many cycles, under a seed nobody chose?

Machines are found by file name. What belongs to one of them alone stands in a file of its own.
"""

from __future__ import annotations

import re
import secrets

import pytest

pytest.importorskip("amaranth", reason="the optional part 'rtl' is not installed")

from siloom.rtl import api
from siloom.rtl.registry import find_blocks, find_hardware, machine_names
from siloom.rtl.verilator import lint
from siloom.rtl.verilog import verilog
from siloom.sim.errors import InfeasibleError

every_machine = pytest.mark.parametrize("name", machine_names())
every_size = pytest.mark.parametrize(
    "block",
    [block for name in machine_names() for block in find_blocks(name)],
    ids=lambda block: f"{block.name}:{block.size}",
)


@every_machine
def test_a_machine_names_three_sizes_that_can_be_built(name, repository):
    hardware = find_hardware(name)
    assert hardware.name == name
    assert (repository / "rtl" / "machines" / f"{name}.py").is_file()
    assert len(hardware.sizes) >= 3
    assert 0.0 <= hardware.bound <= 0.02
    for design in (hardware.base, *hardware.sizes):
        hardware.buildable(design)


@pytest.mark.slow
@every_machine
def test_the_smallest_size_agrees_with_its_model_under_a_fresh_seed(name):
    block, seed = find_blocks(name)[0], secrets.randbits(31)
    verdict = block.check(0, seed, "verilator")
    assert verdict.passed, (name, seed, verdict)
    assert verdict.mismatched_bits == 0
    assert verdict.vectors > 0
    assert verdict.model_cycles > 0


@pytest.mark.slow
@every_size
def test_verilog_is_clean_under_every_lint_warning_and_holds_no_star_block(block, tmp_path):
    text = verilog(block.make(), block.name)
    assert "always @*" not in text
    assert set(re.findall("lint_off ([A-Z]+)", text)) == {"PROCASSINIT", "WIDTHEXPAND", "DECLFILENAME"}
    (tmp_path / f"{block.name}.v").write_text(text)
    assert lint(tmp_path / f"{block.name}.v") == []


def test_what_is_no_hardware_is_refused_with_field_and_limit(tmp_path):
    for act in (
        lambda: api.emit("systolic:convention=scalesim", tmp_path / "out"),
        lambda: api.check(["systolic:convention=scalesim"], vectors=1, seed=0),
    ):
        with pytest.raises(InfeasibleError, match="systolic: convention must be physical"):
            act()
    with pytest.raises(InfeasibleError, match=r"systolic: rows must be at most \d+ to be built, got 4096"):
        api.emit("systolic:rows=4096", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
