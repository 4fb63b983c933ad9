"""The twin of ``sim/units/systolic_cell.py``: one multiplier, one adder, and as few registers as the dataflow needs.

The register of a beat stands between multiplier and adder: the product is kept, and what it is added to, and the sum
leaves as the adder's output, in the same cycle as if it had been kept itself. So multiplier and adder have a cycle
each, though a sum takes one from cell to cell. The flags that came with the product stand beside it, in the output
registers that hand them on to the right.

Where a sum stays, it is the one before the product that is kept. Where an operand stays, its load register is the
output register of what leaves downwards, because both always hold the same number. ``double`` adds one register: of
the finished sum on its way down, or of the operand at work, which a multiplier has straight from there. There is no
enable of its own: the cell moves when its output does.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value

from siloom.rtl.elastic import Values, elastic
from siloom.rtl.hold import hold
from siloom.rtl.twin import Twin
from siloom.sim.contract import Contract
from siloom.sim.units import systolic_cell


class Cell(Twin):
    """The movements of a cell, without its arithmetic: that is of a kind of number whose zero is 0."""

    def __init__(self, contract: Contract, keeps_sum: bool, double: bool) -> None:
        """Take the promise."""
        super().__init__(contract)
        self.keeps_sum, self.double = keeps_sum, double

    def multiply(self, m: Module, a: Value, factor: Value) -> Any:
        """The product, in any form that :func:`hold` keeps."""
        raise NotImplementedError

    def add(self, m: Module, onto: Value, product: Any) -> Any:
        """The code of the sum of both, in view of the flags of the product's beat, in ``self.o.p``."""
        raise NotImplementedError

    def elaborate(self, platform: object) -> Module:
        """What is not the sum stands in output registers."""
        m = Module()
        elastic(m, self, [self._sum_stays if self.keeps_sum else self._operand_stays])
        return m

    def _sum_stays(self, m: Module, given: Values, moves: Value) -> Values:
        shown = self.o.p
        product = hold(m, self.multiply(m, given["a"], given["b"]), "product", moves, reset=True)
        leaves: Any = Signal.like(shown.psum)
        moving: Any = hold(m, Mux(given["shift"], given["psum"], leaves), "moving", moves, reset=True)
        held: Any = Signal.like(shown.psum) if self.double else moving
        total = self.add(m, Mux(shown.first, 0, held), product)
        if self.double:
            with m.If(moves):
                m.d.sync += held.eq(total)
            m.d.comb += leaves.eq(Mux(shown.last, total, moving))
        else:
            m.d.comb += leaves.eq(Mux(shown.shift, moving, total))
        m.d.comb += shown.psum.eq(leaves)
        return {name: value for name, value in given.items() if name != "psum"}

    def _operand_stays(self, m: Module, given: Values, moves: Value) -> Values:
        below = self.o.p.b
        loaded = Signal(below.shape())
        held = Signal(below.shape()) if self.double else below
        m.d.comb += loaded.eq(Mux(given["shift"], given["b"], below))
        if self.double:
            with m.If(moves & given["first"]):
                m.d.sync += held.eq(loaded)
        product = hold(m, self.multiply(m, given["a"], held), "product", moves)
        m.d.comb += self.o.p.psum.eq(self.add(m, hold(m, given["psum"], "onto", moves), product))
        return {name: value for name, value in given.items() if name != "psum"} | {"b": loaded}


class SystolicCell(Cell):
    """A cell of integers, of the dataflow and size that ``design`` says.

    A sum wraps: what lies above it, in a factor or the product, can never come back into it.
    """

    def __init__(self, design: systolic_cell.SystolicCell) -> None:
        """Take the promise for this size."""
        super().__init__(systolic_cell.contract(design), design.dataflow == "os", design.double)
        self.acc_bits = design.acc_bits

    def multiply(self, m: Module, a: Value, factor: Value) -> Any:
        """As many bits of it as the sum has."""
        product = a[: self.acc_bits].as_signed() * factor[: self.acc_bits].as_signed()
        return product[: self.acc_bits].as_signed()

    def add(self, m: Module, onto: Value, product: Any) -> Any:
        """A sum that wraps."""
        total = Signal(self.o.p.psum.shape(), name="total")
        m.d.comb += total.eq(onto + product)
        return total


TWIN = SystolicCell
