"""The twin of ``sim/units/systolic_cell.py``: one multiplier, one adder, and as few registers as the dataflow needs.

The register that shifts is the output register of what leaves downwards, because both always hold the same number:
``psum`` where a sum stays, ``b`` where an operand stays. ``double`` adds one register, the sum or operand at work,
which then does not move. There is no enable of its own: the cell moves when its output does.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value

from siloom.rtl.elastic import Values, elastic
from siloom.rtl.twin import Twin
from siloom.sim.units import systolic_cell


class SystolicCell(Twin):
    """A cell of the dataflow and size that ``design`` says."""

    def __init__(self, design: systolic_cell.SystolicCell) -> None:
        """Take the promise for this size."""
        super().__init__(systolic_cell.contract(design))
        self.keeps_sum = design.dataflow == "os"
        self.double = design.double

    def elaborate(self, platform: object) -> Module:
        """All is done in one cycle, between the cell's edges and its output register."""
        m = Module()
        elastic(m, self, [self._sum_stays if self.keeps_sum else self._operand_stays])
        return m

    def _sum_stays(self, m: Module, given: Values, moves: Value) -> Values:
        below = self.o.p.psum
        held = Signal(below.shape()) if self.double else below
        total = self._add(m, Mux(given["first"], 0, held), given["a"], given["b"])
        if not self.double:
            return {**given, "psum": Mux(given["shift"], given["psum"], total)}
        with m.If(moves):
            m.d.sync += held.eq(total)
        return {**given, "psum": Mux(given["last"], total, Mux(given["shift"], given["psum"], below))}

    def _operand_stays(self, m: Module, given: Values, moves: Value) -> Values:
        below = self.o.p.b
        work: Any = below
        if self.double:
            held = Signal(below.shape())
            work = Signal(below.shape())
            m.d.comb += work.eq(Mux(given["first"], below, held))
            with m.If(moves):
                m.d.sync += held.eq(work)
        total = self._add(m, given["psum"], given["a"], work)
        return {**given, "b": Mux(given["shift"], given["b"], below), "psum": total}

    def _add(self, m: Module, psum: Value, a: Value, b: Value) -> Any:
        """A sum that wraps: what lies above it, in a factor or the product, can never come back into it."""
        total = Signal(self.o.p.psum.shape(), name="total")
        product = a[: len(total)].as_signed() * b[: len(total)].as_signed()
        m.d.comb += total.eq(psum + product[: len(total)].as_signed())
        return total


TWIN = SystolicCell
