"""What the hardware of a systolic machine reads of its Design, as plain numbers; no Amaranth here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from siloom.models._systolic_array import ACCUMULATORS
from siloom.models.systolic import SystolicDesign
from siloom.sim.contract import BF16, FP16, FP32, Contract, Float
from siloom.sim.ops import FORMAT_BITS
from siloom.sim.units import sparse24_cell, systolic_cell, systolic_float_cell
from siloom.sim.units.sparse24_cell import Sparse24Cell
from siloom.sim.units.systolic_cell import SystolicCell
from siloom.sim.units.systolic_float_cell import SystolicFloatCell

INTEGERS = ("int4", "int8")
FLOATS: Mapping[str, str] = {"fp8": "fp8_e4m3", "bf16": "bf16", "fp16": "fp16"}
"""Precision -> what the cell calls it."""

FLOAT_SUMS: Mapping[str, Float] = {"fp16": FP16, "bf16": BF16, "fp32": FP32}
"""Accumulators of floating-point products."""

LENGTH_BITS = 16
"""Bits of each of a job's three sizes."""


@dataclass(frozen=True)
class ArraySize:
    """An array of ``rows`` x ``cols`` cells.

    ``depth``: unfinished sums that the memory below each column holds; 0 where sums never leave the cells unfinished.
    """

    rows: int
    cols: int
    cell: SystolicCell | SystolicFloatCell | Sparse24Cell
    depth: int

    @cached_property
    def contract(self) -> Contract:
        """The promise of a cell, which has all formats."""
        if isinstance(self.cell, SystolicCell):
            return systolic_cell.contract(self.cell)
        if isinstance(self.cell, Sparse24Cell):
            return sparse24_cell.contract(self.cell)
        return systolic_float_cell.contract(self.cell)

    @property
    def stages(self) -> int:
        """Registers between a cell's operands and its adder."""
        return sparse24_cell.STAGES if isinstance(self.cell, Sparse24Cell) else 0

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
    # Half of the SRAM is for the block at work, as in the model; the other is the memory port's, outside of this.
    room = design.ofmap_sram_bytes * 4 // (ACCUMULATORS[design.accumulator] * design.cols)
    return ArraySize(design.rows, design.cols, _cell(design), 0 if design.dataflow == "os" else room)


def _cell(design: SystolicDesign) -> SystolicCell | SystolicFloatCell:
    if design.precision in INTEGERS:
        bits = FORMAT_BITS[design.precision]
        return SystolicCell(
            dataflow=design.dataflow,
            a_bits=bits,
            b_bits=bits,
            acc_bits=ACCUMULATORS[design.accumulator],
            double=design.double_buffer,
        )
    form = FLOAT_SUMS[design.accumulator]
    return SystolicFloatCell(
        dataflow=design.dataflow,
        a_format=FLOATS[design.precision],
        b_format=FLOATS[design.precision],
        acc_exponent_bits=form.exponent_bits,
        acc_mantissa_bits=form.mantissa_bits,
        double=design.double_buffer,
    )
