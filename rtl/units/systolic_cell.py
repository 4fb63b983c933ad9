"""The twin of ``sim/units/systolic_cell.py``: one multiplier, one adder, and as few registers as the dataflow needs.

The register that shifts is the output register of what leaves downwards, because both always hold the same number:
``psum`` where a sum stays, ``b`` where an operand stays. ``double`` adds one register, the sum or operand at work,
which then does not move. A multiplier has an operand that stays straight from its register. There is no enable
of its own: the cell moves when its output does.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value

from siloom.rtl.elastic import Values, elastic
from siloom.rtl.twin import Twin
from siloom.sim.contract import Contract
from siloom.sim.units import systolic_cell


class Cell(Twin):
    """The movements of a cell, without its arithmetic: :meth:`add` is that of a kind of number whose zero is 0."""

    def __init__(self, contract: Contract, keeps_sum: bool, double: bool) -> None:
        """Take the promise."""
        super().__init__(contract)
        self.keeps_sum, self.double = keeps_sum, double

    def add(self, m: Module, given: Values, onto: Value, factor: Value) -> Any:
        """The code of ``onto`` and the product of ``given["a"]`` and ``factor``, in view of the beat's flags."""
        raise NotImplementedError

    def elaborate(self, platform: object) -> Module:
        """All is done in one cycle, between the cell's edges and its output register."""
        m = Module()
        elastic(m, self, [self._sum_stays if self.keeps_sum else self._operand_stays])
        return m

    def _sum_stays(self, m: Module, given: Values, moves: Value) -> Values:
        below = self.o.p.psum
        held = Signal(below.shape()) if self.double else below
        total = self.add(m, given, Mux(given["first"], 0, held), given["b"])
        if not self.double:
            return {**given, "psum": Mux(given["shift"], given["psum"], total)}
        with m.If(moves):
            m.d.sync += held.eq(total)
        return {**given, "psum": Mux(given["last"], total, Mux(given["shift"], given["psum"], below))}

    def _operand_stays(self, m: Module, given: Values, moves: Value) -> Values:
        below = self.o.p.b
        loaded = Signal(below.shape())
        held = Signal(below.shape()) if self.double else below
        m.d.comb += loaded.eq(Mux(given["shift"], given["b"], below))
        if self.double:
            with m.If(moves & given["first"]):
                m.d.sync += held.eq(loaded)
        return {**given, "b": loaded, "psum": self.add(m, given, given["psum"], held)}


class SystolicCell(Cell):
    """A cell of integers, of the dataflow and size that ``design`` says."""

    def __init__(self, design: systolic_cell.SystolicCell) -> None:
        """Take the promise for this size."""
        super().__init__(systolic_cell.contract(design), design.dataflow == "os", design.double)

    def add(self, m: Module, given: Values, onto: Value, factor: Value) -> Any:
        """A sum that wraps: what lies above it, in a factor or the product, can never come back into it."""
        total = Signal(self.o.p.psum.shape(), name="total")
        product = given["a"][: len(total)].as_signed() * factor[: len(total)].as_signed()
        m.d.comb += total.eq(onto + product[: len(total)].as_signed())
        return total


TWIN = SystolicCell
