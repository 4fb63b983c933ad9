"""Energy and area of a systolic array by component, from the cost tables at the design's node.

- ``mac``: every multiply-accumulate, those of zeros that the mapping brings included; registers, wires and
  clock are in no table and left out.
- SRAMs: what the array reads and writes, and what the memory port fills and empties. Each row, or
  column, of the array is served by a bank of its own, in words of the design's width.
- ``dram``: bytes over the port, at the typical energy of the kind of memory. Ideal memory costs none.
- ``vector``: one multiplication in the accumulator's format an operation; assumed.

Leakage is left out: the tables' figures are those of high-performance cells, which no accelerator uses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from siloom.models._systolic_array import ACCUMULATORS, Run
from siloom.sim.cost import arithmetic, dram_energy, sram
from siloom.sim.ops import FORMAT_BITS

if TYPE_CHECKING:
    from siloom.models.systolic import SystolicDesign

TABLES = ("horowitz", "cacti_sram", "node_scaling", "dram_energy", "dram_parts")
"""The cost tables that the numbers come from."""

_LEAST_BANK = 256
"""Bytes of the smallest bank: below, registers would be built."""


def energy_parts(design: SystolicDesign, run: Run, form: str, accumulator: str) -> dict[str, float]:
    """Joules by component."""
    node = design.node_nm
    moved = run.port_bytes
    element, total = FORMAT_BITS[form] / 8, ACCUMULATORS[accumulator] / 8
    if design.convention == "scalesim":
        element = total = 1.0
    read = {name: run.words.get(name, 0) for name in ("ifmap_read", "filter_read", "ofmap_read", "ofmap_write")}
    parts = {
        "mac": run.multiplies * arithmetic.mac_energy_j(form, accumulator, node),
        "ifmap_sram": _access(design, "ifmap", element * read["ifmap_read"], moved.get("ifmap_read", 0)),
        "filter_sram": _access(design, "filter", element * read["filter_read"], moved.get("filter_read", 0)),
        "ofmap_sram": _access(
            design,
            "ofmap",
            total * read["ofmap_read"] + moved.get("ofmap_write", 0) + moved.get("psum_write", 0),
            total * read["ofmap_write"] + moved.get("psum_read", 0),
        ),
        "vector": run.vector_operations * arithmetic.operation_energy_j("mul", accumulator, node),
    }
    if design.memory != "ideal" and design.convention == "physical":
        bits = 8 * (run.read_bytes + run.write_bytes)
        parts["dram"] = bits * dram_energy.energy_per_bit_j(design.memory.split("-")[0])
    return parts


def _access(design: SystolicDesign, which: str, read: float, written: float) -> float:
    """Joules of bytes read from and written to one of the three SRAMs."""
    size = getattr(design, f"{which}_sram_bytes")
    lanes = design.rows if which == "ifmap" else design.cols
    word = min(design.sram_word_bytes, size)
    bank = min(size, max(size // lanes, _LEAST_BANK, word))
    each_read = sram.read_energy_j(bank, word, design.node_nm) / word
    each_written = sram.write_energy_j(bank, word, design.node_nm) / word
    return float(read * each_read + written * each_written)


def area_parts(design: SystolicDesign, form: str, accumulator: str) -> dict[str, float]:
    """Square millimetres by component."""
    node = design.node_nm
    sums = arithmetic.mac_area_mm2(accumulator, accumulator, node)
    return {
        "mac": design.rows * design.cols * arithmetic.mac_area_mm2(form, accumulator, node),
        "ifmap_sram": sram.area_mm2(design.ifmap_sram_bytes, node),
        "filter_sram": sram.area_mm2(design.filter_sram_bytes, node),
        "ofmap_sram": sram.area_mm2(design.ofmap_sram_bytes, node),
        "vector": design.vector_lanes * sums,
    }
