"""The twin of ``sim/units/systolic_float_cell.py``: ``systolic_cell`` with the arithmetic of ``fp_mac`` at once."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value

from siloom.rtl.units.fp_mac import accumulate, exact_product
from siloom.rtl.units.systolic_cell import Cell
from siloom.sim.units import systolic_float_cell


class SystolicFloatCell(Cell):
    """A cell of the dataflow and formats that ``design`` says."""

    def __init__(self, design: systolic_float_cell.SystolicFloatCell) -> None:
        """Take the promise for these formats."""
        super().__init__(systolic_float_cell.contract(design), design.dataflow == "os", design.double)
        self.design = design

    def multiply(self, m: Module, a: Value, factor: Value) -> Any:
        """The exact product."""
        return exact_product(m, a, factor, self.design.a, self.design.b, self.design.accumulator)

    def add(self, m: Module, onto: Value, product: Any) -> Any:
        """The sum rounded once, or what it was where there is no product."""
        total = Signal(self.o.p.psum.shape(), name="total")
        rounded = accumulate(m, onto, product, self.design.accumulator, self.design.saturate)
        m.d.comb += total.eq(Mux(self.o.p.live, rounded, onto))
        return total


TWIN = SystolicFloatCell
