"""The twin of ``sim/units/sparse24_cell.py``: a selector, two multipliers, an adder, and two words of weights.

The selector is ``sparse24_select`` with one register, so the operands that it chose stand in it while they are
multiplied; it moves when the cell does. The load register is the output register of what leaves downwards, and the
weights at work are a register beside it.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value

from siloom.rtl.elastic import Values, elastic
from siloom.rtl.lanes import lanes
from siloom.rtl.twin import Twin
from siloom.rtl.units.sparse24_select import Sparse24Select
from siloom.rtl.unread import unread
from siloom.sim.units import sparse24_cell
from siloom.sim.units.sparse24_select import KEPT


class Sparse24Cell(Twin):
    """A cell of the size that ``design`` says."""

    def __init__(self, design: sparse24_cell.Sparse24Cell) -> None:
        """Take the promise for this size."""
        super().__init__(sparse24_cell.contract(design))
        self.design = design

    def elaborate(self, platform: object) -> Module:
        """All is done in one cycle: between edges and selector, and between selector and output register."""
        m = Module()
        elastic(m, self, [self._beat])
        return m

    def _beat(self, m: Module, given: Values, moves: Value) -> Values:
        bits, loaded = self.design.bits, self.o.p.b
        held, choosing = Signal.like(loaded), Signal.like(loaded)
        m.submodules.select = select = Sparse24Select(self.design.select)
        m.d.comb += [
            choosing.eq(Mux(given["first"], loaded, held)),
            Value.cast(select.i.p.value).eq(given["a"]),
            Value.cast(select.i.p.place).eq(choosing[KEPT * bits :]),
            select.i.valid.eq(moves),
            select.o.ready.eq(moves),
        ]
        unread(m, [select.i.ready, select.o.valid])
        with m.If(moves):
            m.d.sync += held.eq(choosing)
        total: Any = Signal(self.o.p.psum.shape(), name="total")
        kept = (held[lane * bits : (lane + 1) * bits] for lane in range(KEPT))
        # A sum wraps: what lies above it, in a factor or a product, can never come back into it.
        parts = [
            (x[: len(total)].as_signed() * w[: len(total)].as_signed())[: len(total)].as_signed()
            for x, w in zip(lanes(select.o.p.chosen), kept, strict=True)
        ]
        m.d.comb += total.eq(given["psum"] + sum(parts[1:], parts[0]))
        return {**given, "b": Mux(given["shift"], given["b"], loaded), "psum": total}


TWIN = Sparse24Cell
