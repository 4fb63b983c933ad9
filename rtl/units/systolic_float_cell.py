"""The twin of ``sim/units/systolic_float_cell.py``: ``systolic_cell`` with the arithmetic of ``fp_mac`` at once."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value

from siloom.rtl.elastic import Values
from siloom.rtl.units.fp_mac import fp_mac_step
from siloom.rtl.units.systolic_cell import Cell
from siloom.sim.units import systolic_float_cell


class SystolicFloatCell(Cell):
    """A cell of the dataflow and formats that ``design`` says."""

    def __init__(self, design: systolic_float_cell.SystolicFloatCell) -> None:
        """Take the promise for these formats."""
        super().__init__(systolic_float_cell.contract(design), design.dataflow == "os", design.double)
        self.design = design

    def add(self, m: Module, given: Values, onto: Value, factor: Value) -> Any:
        """The sum rounded once, or what it was where there is no product."""
        design = self.design
        forms = (design.a, design.b, design.accumulator)
        total = Signal(self.o.p.psum.shape(), name="total")
        rounded = fp_mac_step(m, onto, given["a"], factor, *forms, design.saturate)
        m.d.comb += total.eq(Mux(given["live"], rounded, onto))
        return total


TWIN = SystolicFloatCell
