"""Energy and area of a systolic array by component, from the cost tables at the design's node.

- ``mac``: every multiply-accumulate, those of zeros that the mapping brings included; registers, wires and
  clock are in no table and left out.
- SRAMs: what the array reads and writes, and what the memory port fills and empties. Each row, or
  column, of the array is served by a bank of its own, in words of the design's width.
- ``dram``: bytes over the port, at the typical energy of the kind of memory. Ideal memory costs none.
- ``vector``: one multiplication in the accumulator's format an operation; assumed.

What a word of an SRAM is, the machine says (:class:`Words`).

Leakage is left out: the tables' figures are those of high-performance cells, which no accelerator uses.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from siloom.models._columns import each
from siloom.models._systolic_array import Run
from siloom.sim.cost import arithmetic, dram_energy, sram

TABLES = ("horowitz", "cacti_sram", "node_scaling", "dram_energy", "dram_parts")
"""The cost tables that the numbers come from."""

_LEAST_BANK = 256
"""Bytes of the smallest bank: below, registers would be built."""


class Words(NamedTuple):
    """Bits of what is counted as one word between the array and its three SRAMs."""

    ifmap: int
    filter: int
    sums: int


class Built(Protocol):
    """What costs and results are read from, of the design of a machine with one systolic array."""

    @property
    def rows(self) -> int:
        """Cells down."""

    @property
    def cols(self) -> int:
        """Cells across."""

    @property
    def multipliers(self) -> int:
        """Multipliers of all cells."""

    @property
    def ifmap_sram_bytes(self) -> int:
        """SRAM of A."""

    @property
    def filter_sram_bytes(self) -> int:
        """SRAM of B."""

    @property
    def ofmap_sram_bytes(self) -> int:
        """SRAM of sums."""

    @property
    def sram_word_bytes(self) -> int:
        """One access of a bank."""

    @property
    def vector_lanes(self) -> int:
        """Operations of the vector unit a cycle."""

    @property
    def memory(self) -> str:
        """A DRAM part, or ideal."""

    @property
    def memory_channels(self) -> int:
        """Channels of the memory."""

    @property
    def node_nm(self) -> float:
        """Node of the tables."""

    @property
    def clock_hz(self) -> float:
        """The clock."""

    def as_dict(self) -> dict[str, Any]:
        """All fields."""

    def content_hash(self) -> str:
        """Which design this is."""


def energy_parts(
    design: Built, run: Run, form: str, accumulator: str, words: Words, dram: bool = True
) -> dict[str, float]:
    """Joules by component; of memory only with ``dram``."""
    node = design.node_nm
    moved = run.port_bytes
    read = {name: run.words.get(name, 0) for name in ("ifmap_read", "filter_read", "ofmap_read", "ofmap_write")}
    parts = {
        "mac": run.multiplies * arithmetic.mac_energy_j(form, accumulator, node),
        "ifmap_sram": _access(design, "ifmap", words.ifmap / 8 * read["ifmap_read"], moved.get("ifmap_read", 0)),
        "filter_sram": _access(design, "filter", words.filter / 8 * read["filter_read"], moved.get("filter_read", 0)),
        "ofmap_sram": _access(
            design,
            "ofmap",
            words.sums / 8 * read["ofmap_read"] + moved.get("ofmap_write", 0) + moved.get("psum_write", 0),
            words.sums / 8 * read["ofmap_write"] + moved.get("psum_read", 0),
        ),
        "vector": run.vector_operations * arithmetic.operation_energy_j("mul", accumulator, node),
    }
    if design.memory != "ideal" and dram:
        bits = 8 * (run.read_bytes + run.write_bytes)
        parts["dram"] = bits * dram_energy.energy_per_bit_j(design.memory.split("-")[0])
    return parts


def _access(design: Built, which: str, read: float, written: float) -> float:
    """Joules of bytes read from and written to one of the three SRAMs."""
    size = getattr(design, f"{which}_sram_bytes")
    lanes = design.rows if which == "ifmap" else design.cols
    word = min(design.sram_word_bytes, size)
    bank = min(size, max(size // lanes, _LEAST_BANK, word))
    each_read = sram.read_energy_j(bank, word, design.node_nm) / word
    each_written = sram.write_energy_j(bank, word, design.node_nm) / word
    return float(read * each_read + written * each_written)


def area_parts(design: Built, form: str, accumulator: str) -> dict[str, float]:
    """Square millimetres by component."""
    return area_of(design, form, accumulator, design.multipliers)


def area_of(d: Any, form: str, accumulator: str, multipliers: int | None = None) -> dict[str, Any]:
    """:func:`area_parts` of one design, or of many whose fields are arrays; one multiplier a cell as a rule."""
    node = d.node_nm
    sums = arithmetic.mac_area_mm2(accumulator, accumulator, node)
    cells = d.rows * d.cols if multipliers is None else multipliers
    return {
        "mac": cells * arithmetic.mac_area_mm2(form, accumulator, node),
        "ifmap_sram": each(lambda size: sram.area_mm2(size, node), d.ifmap_sram_bytes),
        "filter_sram": each(lambda size: sram.area_mm2(size, node), d.filter_sram_bytes),
        "ofmap_sram": each(lambda size: sram.area_mm2(size, node), d.ofmap_sram_bytes),
        "vector": d.vector_lanes * sums,
    }
