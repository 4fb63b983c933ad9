"""The twin of ``sim/units/sparse24_cell.py``: a selector, two multipliers, an adder, and two words of weights.

The selector is ``sparse24_select`` with one register, so the operands that it chose stand in it while they are
multiplied; it moves when the cell does. The load register is the output register of what leaves downwards. Beside it
stand the places that choose and the weights that multiply. Weights follow their places a beat later, when the load
register still holds them and the output register shows the flag that took the places.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data

from siloom.rtl.elastic import Values, elastic
from siloom.rtl.lanes import lanes
from siloom.rtl.twin import Twin
from siloom.rtl.units.sparse24_select import Sparse24Select
from siloom.rtl.unread import unread
from siloom.sim.units import sparse24_cell
from siloom.sim.units.sparse24_cell import PLACE_BITS
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
        bits, below = self.design.bits, self.o.p.b
        loaded = Signal.like(below)
        weights: Any = Signal(data.ArrayLayout(bits, KEPT))
        places: Any = Signal(data.ArrayLayout(PLACE_BITS, KEPT))
        m.submodules.select = select = Sparse24Select(self.design.select)
        m.d.comb += [
            loaded.eq(Mux(given["shift"], given["b"], below)),
            Value.cast(select.i.p.value).eq(given["a"]),
            Value.cast(select.i.p.place).eq(Value.cast(places)),
            select.i.valid.eq(moves),
            select.o.ready.eq(moves),
        ]
        unread(m, [select.i.ready, select.o.valid])
        with m.If(moves & given["first"]):
            m.d.sync += Value.cast(places).eq(loaded[KEPT * bits :])
        with m.If(moves & self.o.p.first):
            m.d.sync += Value.cast(weights).eq(below[: KEPT * bits])
        total: Any = Signal(self.o.p.psum.shape(), name="total")
        # A sum wraps: what lies above it, in a factor or a product, can never come back into it.
        parts = [
            (x[: len(total)].as_signed() * w[: len(total)].as_signed())[: len(total)].as_signed()
            for x, w in zip(lanes(select.o.p.chosen), weights, strict=True)
        ]
        m.d.comb += total.eq(given["psum"] + sum(parts[1:], parts[0]))
        return {**given, "b": loaded, "psum": total}


TWIN = Sparse24Cell
