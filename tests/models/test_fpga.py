"""FPGA parts: data-sheet figures, resources counted cell by cell, what does not fit, and timing against bounds."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.models import _fpga_resources
from siloom.models.fpga import U280, Ecp5, FpgaDesign, Ice40, Zcu104
from siloom.models.registry import machine
from siloom.sim.cost.synthesis import synthesised
from siloom.sim.errors import InfeasibleError, InputError
from siloom.sim.ops import Attention, Conv, MatMul
from siloom.sim.units.systolic_cell import SystolicCell

PARTS: list[Any] = [Ice40(), Ecp5(), Zcu104(), U280()]
each = pytest.mark.parametrize("part", PARTS, ids=lambda m: m.name)


def test_parts_have_their_data_sheets_resources() -> None:
    """LUT, FF, multipliers, memory in bits: Lattice and AMD product tables."""
    expected = {
        "ice40-hx8k": (7680, 7680, 0, 128 * 1024),
        "ecp5-85k": (83640, 83640, 156, 3744 * 1024),
        "zcu104": (230400, 460800, 1728, 312 * 36 * 1024 + 96 * 288 * 1024),
        "u280": (1303680, 2607360, 9024, 2016 * 36 * 1024 + 960 * 288 * 1024),
    }
    for part in PARTS:
        d = part.design
        bits = d.brams * d.bram_bits + d.urams * 288 * 1024
        assert (d.luts, d.ffs, d.dsps, bits) == expected[part.name]


@each
def test_the_default_array_fits_and_its_use_is_reported(part: Any) -> None:
    result = part.run(MatMul(m=100, n=100, k=100, format="int8"))
    design = part.design
    for field in ("luts", "ffs", "dsps", "brams", "urams"):
        assert 0 <= result.counters[field] <= getattr(design, field)
    measured = part.name in ("ice40-hx8k", "ecp5-85k")
    words = "of cells measured by synthesis: " if measured else "estimated from synthesised cells: "
    assert result.notes[0].startswith(f"resources {words}")
    origins = result.provenance["resources"]
    cells = origins["cells in LUTs" if part.name == "ice40-hx8k" else "cells in multiplier blocks"]
    assert cells.startswith("siloom rtl synth: yosys" if measured else "estimated")
    assert (origins["skew"], origins["control"]) == ("counted", "assumed")
    assert result.precision == ("int8",)


@given(
    rows=st.integers(1, 20), cols=st.integers(1, 20), double=st.booleans(), precision=st.sampled_from(["int4", "int8"])
)
@settings(deadline=None, max_examples=60)
def test_flip_flops_are_those_of_an_array_laid_out_cell_by_cell(
    rows: int, cols: int, double: bool, precision: str
) -> None:
    """Brute force: each cell's registers, and for each row and column its delays at the edge."""
    design = FpgaDesign(rows=rows, cols=cols, double_buffer=double, precision=precision)
    operand, total = int(precision[3:]), 32
    product = 2 * operand  # kept beside what it is added to
    handshake = 4  # first, last and shift, passed on, and valid: the cells of this family are measured with them
    count = 600  # control
    for r in range(rows):
        count += r * operand  # row r's operands come r cycles later
        for _ in range(cols):
            count += operand + operand * (2 if double else 1) + product + total + handshake
    for c in range(cols):
        count += (cols - 1 - c) * total  # all sums of a row leave together
    assert _fpga_resources.resources(design)["FF"] == count


def test_an_array_that_does_not_fit_names_every_resource_and_its_excess() -> None:
    big = machine("ice40-hx8k:rows=16,cols=16")
    with pytest.raises(InfeasibleError) as caught:
        big.run(MatMul(m=4, n=4, k=4))
    said = str(caught.value)
    assert said.startswith("ice40-hx8k: 16x16 int8 array needs ")
    found = re.findall(r"(\d+) (LUT|FF|DSP|BRAM|URAM), part has (\d+) \((\d+) too many\)", said)
    assert {name for _, name, _, _ in found} == {"LUT", "FF", "BRAM"}
    for need, _, has, excess in found:
        assert int(need) - int(has) == int(excess) > 0
    # The cells alone: 256 as they were measured (8-bit operands and 32-bit sums), and 600 of control.
    cell = synthesised("ice40-hx8k", "systolic_cell", SystolicCell(dataflow="ws").settings_text())
    assert cell is not None
    assert int(found[0][0]) == 256 * cell.lut + 600
    assert cell.lut == pytest.approx(216, rel=0.1)  # Yosys on the same cell without handshake, from plain Verilog


@each
def test_each_resource_is_the_one_that_is_missed_when_it_alone_is_taken_away(part: Any) -> None:
    used = part.run(MatMul(m=8, n=8, k=8)).counters
    for field, name in (("luts", "LUT"), ("ffs", "FF"), ("brams", "BRAM")):
        where = "lut" if part.name == "ice40-hx8k" else "dsp"
        poorer = part.design.with_settings("x", {field: used[field] - 1, "urams": 0, "multiplier": where})
        with pytest.raises(InfeasibleError, match=rf"needs {used[field]} {name}, part has .* \(1 too many\)$"):
            type(part)(poorer).run(MatMul(m=8, n=8, k=8))
        exact = type(part)(part.design.with_settings("x", {field: used[field]}))
        exact.run(MatMul(m=8, n=8, k=8))


def test_cells_beyond_the_multiplier_blocks_go_into_luts() -> None:
    design = Ecp5().design
    assert isinstance(design, FpgaDesign)
    fits = design.with_settings("x", {"rows": 12, "cols": 13})
    more = design.with_settings("x", {"rows": 13, "cols": 13})
    assert _fpga_resources.resources(fits)["DSP"] == 156
    assert _fpga_resources.resources(more)["DSP"] == 156
    difference = _fpga_resources.resources(more)["LUT"] - _fpga_resources.resources(fits)["LUT"]
    assert difference == 13 * 527  # 495 LUT4 and 16 carries of two, as Yosys has it
    only_blocks = more.with_settings("x", {"multiplier": "dsp"})
    with pytest.raises(InfeasibleError, match=r"13x13 int8 array needs 169 DSP, part has 156 \(13 too many\)$"):
        Ecp5(only_blocks).run(MatMul(m=4, n=4, k=4))
    none = design.with_settings("x", {"multiplier": "lut"})
    assert _fpga_resources.resources(none)["DSP"] == 0


def test_a_cell_that_was_measured_replaces_the_estimate_and_no_other_does() -> None:
    """The estimate knows one dataflow; the cell whose sums stay has a register more and a way for them to leave."""
    ws, os = (Ecp5().design.with_settings("x", {"dataflow": dataflow}) for dataflow in ("ws", "os"))
    assert isinstance(ws, FpgaDesign)
    assert isinstance(os, FpgaDesign)
    cells = {"ws": _fpga_resources.measured_cell(ws), "os": _fpga_resources.measured_cell(os)}
    for design, cell in zip((ws, os), cells.values(), strict=True):
        assert cell is not None
        assert cell.dsp == 1
        assert _fpga_resources.resources(design)["LUT"] == 144 * cell.lut + 600
        skew = 66 * 8 + 66 * 32
        assert _fpga_resources.resources(design)["FF"] == 144 * cell.ff + skew + 600
    # Inputs that stay are the hardware of weights that stay; UltraScale+ was never synthesised for.
    inputs = ws.with_settings("x", {"dataflow": "is"})
    assert isinstance(inputs, FpgaDesign)
    assert _fpga_resources.measured_cell(inputs) == cells["ws"]
    assert _fpga_resources.measured_cell(_design(Zcu104())) is None


def test_cells_in_luts_of_a_part_with_multipliers_stay_an_estimate_and_are_marked() -> None:
    result = Ecp5(Ecp5().design.with_settings("x", {"rows": 13, "cols": 13})).run(MatMul(m=4, n=4, k=4, format="int8"))
    assert result.notes[0].startswith("resources of cells measured by synthesis (cells in LUTs estimated): ")
    assert result.provenance["resources"]["cells in LUTs"].startswith("estimated")
    assert result.provenance["resources"]["cells in multiplier blocks"].startswith("siloom rtl synth")


@pytest.mark.parametrize("side", [4, 8])
def test_whole_arrays_that_were_placed_bear_the_sum_of_their_cells_out(side: int) -> None:
    design = Ecp5().design.with_settings("x", {"rows": side, "cols": side})
    assert isinstance(design, FpgaDesign)
    array, counted = _fpga_resources.placed_array(design), _fpga_resources.resources(design)
    assert array is not None
    assert array[:2] == (side, side)
    assert array.measured.dsp == counted["DSP"] == side * side
    assert 1.2 < array.measured.lut / counted["LUT"] < 1.3
    assert 0.83 < array.measured.ff / counted["FF"] < 0.92


@pytest.mark.parametrize(
    "settings,size",
    [
        ({"rows": 7, "cols": 9}, (4, 4)),
        ({"rows": 3, "cols": 9}, None),
        ({}, (8, 8)),  # 12 x 12
        ({"dataflow": "is", "multiplier": "dsp"}, (8, 8)),
        ({"dataflow": "os"}, None),
        ({"double_buffer": False}, None),
        ({"multiplier": "lut", "rows": 4, "cols": 4}, None),
        ({"dsps": 0, "rows": 4, "cols": 4}, None),
        ({"rows": 13, "cols": 13}, None),  # some of its products in LUTs
    ],
)
def test_the_largest_array_of_the_kind_that_was_placed_is_found(
    settings: dict[str, Any], size: tuple[int, int] | None
) -> None:
    design = Ecp5().design.with_settings("x", settings)
    assert isinstance(design, FpgaDesign)
    array = _fpga_resources.placed_array(design)
    assert (array and array[:2]) == size


@pytest.mark.parametrize("clock_hz,said", [(100e6, True), (80e6, False)])
def test_a_clock_beyond_what_such_an_array_reached_is_said(clock_hz: float, said: bool) -> None:
    design = Ecp5().design.with_settings("x", {"rows": 8, "cols": 8, "clock_hz": clock_hz})
    notes = Ecp5(design).run(MatMul(m=4, n=4, k=4, format="int8")).notes
    assert any("above the 81 MHz that an array of this kind of 8 x 8 reached" in note for note in notes) == said


def test_clocks_that_differ_are_written_apart() -> None:
    design = Ecp5().design.with_settings("x", {"rows": 8, "cols": 8, "clock_hz": 81.4e6})
    notes = Ecp5(design).run(MatMul(m=4, n=4, k=4, format="int8")).notes
    assert any(note.startswith("the clock of 81.4 MHz is above the 81.3 MHz that an array") for note in notes)


def test_products_in_luts_are_held_against_no_cell_with_a_multiplier_block() -> None:
    design = Ecp5().design.with_settings("x", {"rows": 4, "cols": 4, "multiplier": "lut", "clock_hz": 400e6})
    notes = Ecp5(design).run(MatMul(m=4, n=4, k=4, format="int8")).notes
    assert not any("the clock of" in note for note in notes)


def test_an_array_in_luts_is_of_the_kind_of_those_with_all_products_there(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = _fpga_resources.synthesised

    def in_luts(part: str, name: str, settings: str) -> object:
        found = measured(part, name, settings)
        return found and replace(found, dsp=0)

    monkeypatch.setattr(_fpga_resources, "synthesised", in_luts)
    for chosen, found in (({"multiplier": "lut"}, True), ({"rows": 13, "cols": 13}, False), ({}, False)):
        design = Ecp5().design.with_settings("x", chosen)
        assert isinstance(design, FpgaDesign)
        assert (_fpga_resources.placed_array(design) is not None) == found


def test_a_clock_beyond_what_one_cell_reached_is_said() -> None:
    design = Ecp5().design.with_settings("x", {"dataflow": "os"})  # no such array was placed
    assert isinstance(design, FpgaDesign)
    cell = _fpga_resources.measured_cell(design)
    assert cell is not None
    assert cell.clock_hz is not None
    op = MatMul(m=4, n=4, k=4, format="int8")
    for clock, said in ((cell.clock_hz * 1.01, True), (cell.clock_hz * 0.99, False)):
        notes = Ecp5(design.with_settings("x", {"clock_hz": clock})).run(op).notes
        assert any("that one cell reached, placed and routed alone" in note for note in notes) == said


def _design(part: Any) -> FpgaDesign:
    design = part.design
    assert isinstance(design, FpgaDesign)
    return design


def test_narrow_products_take_no_blocks_where_the_tools_use_none() -> None:
    design = Zcu104().design.with_settings("x", {"precision": "int4"})
    assert isinstance(design, FpgaDesign)
    assert _fpga_resources.resources(design)["DSP"] == 0
    assert _fpga_resources.resources(design)["LUT"] == 1024 * 87 + 600


def test_buffers_take_blocks_by_bytes_or_by_width_and_move_to_uram_when_they_must() -> None:
    small = FpgaDesign(rows=4, cols=4, ifmap_bytes=512, filter_bytes=513, ofmap_bytes=1)
    # 512 B fill one block of 4 kbit, 513 B two; sums are 4 x 32 bits wide, and a block is 16.
    assert _fpga_resources.resources(small)["BRAM"] == max(1, 32 // 16) + max(2, 32 // 16) + 128 // 16
    zcu = Zcu104().design
    assert isinstance(zcu, FpgaDesign)
    assert _fpga_resources.resources(zcu)["URAM"] == 0
    large = zcu.with_settings("x", {"ofmap_bytes": 2**21})
    assert _fpga_resources.resources(large)["URAM"] == -(-(2**21) * 8 // 294912)
    assert _fpga_resources.resources(large)["BRAM"] == 2 * -(-(2**18) * 8 // 36864)


@each
@pytest.mark.parametrize("size", [(1, 1, 1), (7, 5, 3), (64, 64, 64), (200, 300, 100)])
def test_cycles_are_at_or_above_the_arrays_and_the_memorys_bounds(part: Any, size: tuple[int, int, int]) -> None:
    m, n, k = size
    design = part.design
    result = part.run(MatMul(m=m, n=n, k=k, format="int8"))
    folds = -(-k // design.rows) * -(-n // design.cols)
    assert result.cycles >= folds * m
    moved = m * k + k * n + m * n
    assert result.seconds >= moved / design.memory_bytes_per_s
    assert result.traffic_bytes["dram_read"] >= m * k + k * n


@each
def test_a_convolution_is_its_product(part: Any) -> None:
    conv = part.run(Conv(h=18, w=18, c=8, r=3, s=3, k=16, format="int8"))
    gemm = part.run(MatMul(m=256, n=16, k=72, format="int8"))
    assert conv.operations["multiplies"] == gemm.operations["multiplies"]
    assert conv.traffic_bytes["dram_read"] <= gemm.traffic_bytes["dram_read"]
    assert conv.cycles <= gemm.cycles


def test_a_memory_ten_times_slower_stalls_by_bandwidth_and_a_faster_clock_helps_only_the_array() -> None:
    op = MatMul(m=64, n=1024, k=1024, format="int8")
    base = Zcu104()
    slow = Zcu104(base.design.with_settings("x", {"memory_bytes_per_s": 1.92e9}))
    assert slow.run(op).stalls["dram_bandwidth"] > 10 * base.run(op).stalls.get("dram_bandwidth", 0)
    fast = Zcu104(slow.design.with_settings("x", {"clock_hz": 5e8}))
    assert fast.run(op).seconds == pytest.approx(slow.run(op).seconds, rel=0.15)


@each
def test_energy_counts_products_bits_and_rest(part: Any) -> None:
    op = MatMul(m=128, n=128, k=128, format="int8")
    result = part.run(op)
    assert result.energy_parts["static"] == pytest.approx(part.design.static_w * result.seconds)
    per_mac = (result.energy_parts["multipliers"] + result.energy_parts["adders"]) / result.operations["multiplies"]
    # Standard cells take 0.3 pJ for an 8-bit product and 32-bit sum at 45 nm; fabric is 7 to 14 times dearer.
    assert 0.5e-12 < per_mac < 5e-12
    assert ("dram" in result.energy_parts) == (part.design.memory != "sram")
    assert math.fsum(result.energy_parts.values()) == pytest.approx(result.energy_j)


def test_what_is_not_built_for_the_format_says_what_it_computes() -> None:
    result = Zcu104().run(MatMul(name="qkv", m=8, n=8, k=8, format="fp16"))
    assert "computed in int8, the workload asks for fp16" in result.notes
    with pytest.raises(InputError, match="does not run attention"):
        Zcu104().run(Attention(seq=8, heads=1, dim=8))
