"""What the hardware of a systolic machine reads of its Design, as plain numbers; no Amaranth here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from siloom.models._systolic_array import ACCUMULATORS
from siloom.models.systolic import SystolicDesign
from siloom.sim.contract import Contract
from siloom.sim.ops import FORMAT_BITS
from siloom.sim.units import systolic_cell

LENGTH_BITS = 16
"""Bits of each of a job's three sizes."""


@dataclass(frozen=True)
class ArraySize:
    """An array of ``rows`` x ``cols`` cells.

    ``depth``: unfinished sums that the memory below each column holds; 0 where sums never leave the cells unfinished.
    """

    rows: int
    cols: int
    cell: systolic_cell.SystolicCell
    depth: int

    @cached_property
    def contract(self) -> Contract:
        """The promise of a cell, which has all formats."""
        return systolic_cell.contract(self.cell)

    @property
    def sum_bits(self) -> int:
        """Bits of a sum."""
        return self._bits("psum")

    @property
    def left_bits(self) -> int:
        """Bits of a factor from the left."""
        return self._bits("a")

    @property
    def top_bits(self) -> int:
        """Bits of what comes from above."""
        return self._bits("b")

    def _bits(self, name: str) -> int:
        return next(port.format.bits for port in self.contract.inputs.ports if port.name == name)

    @property
    def sums_stay(self) -> bool:
        """Whether sums stay in the cells, so that no unfinished one comes out."""
        return self.cell.dataflow == "os"


def array_size(design: SystolicDesign) -> ArraySize:
    """The array of a design that can be built."""
    bits, sum_bits = FORMAT_BITS[design.precision], ACCUMULATORS[design.accumulator]
    cell = systolic_cell.SystolicCell(
        dataflow=design.dataflow, a_bits=bits, b_bits=bits, acc_bits=sum_bits, double=design.double_buffer
    )
    # Half of the SRAM is for the block at work, as in the model; the other is the memory port's, outside of this.
    depth = 0 if design.dataflow == "os" else design.ofmap_sram_bytes * 4 // (sum_bits * design.cols)
    return ArraySize(design.rows, design.cols, cell, depth)
