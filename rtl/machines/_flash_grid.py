"""The cells of an attention array: a query's element, a sum, and one multiplier for all that happens to them.

=========  ==============================  ==============================
a beat     goes right                      becomes of the cell
=========  ==============================  ==============================
``LOAD``   nothing                         the query's element, from above
``SCORE``  the score and its own product
``SCALE``  nothing                         the sum times the factor, rounded to even
``WEIGH``  nothing                         the sum and the weighted value
``DRAIN``  the sum                         what comes from the left
=========  ==============================  ==============================

Keys, values and queries go down a cell a cycle; weights and factors go right with their beat. The array moves or stops
as a whole.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib.wiring import Component, In, Out

from siloom.rtl.machines._flash_shapes import FlashShapes
from siloom.rtl.machines._flash_size import Op
from siloom.rtl.rounding import half_even
from siloom.rtl.shared import place


def ports(size: FlashShapes, wide: bool) -> dict[str, Any]:
    """The ports of a cell, or of a row of them."""
    down = size.vector if wide else size.element
    sides = {"beat": size.beat, "x": size.power, "s": size.across}
    return {
        "run": In(1),
        **{f"{name}_in": In(shape) for name, shape in sides.items()},
        **{f"{name}_out": Out(shape) for name, shape in sides.items()},
        "y_in": In(down),
        "y_out": Out(down),
    }


class Cell(Component):
    """One cell.

    Attributes:
        run: In: whether the array moves.
        beat_in: In: what is done; ``beat_out`` is the same a cycle later, as is ``x_out`` of ``x_in``.
        x_in: In: a weight or factor.
        s_in: In: a score on its way, or a sum; out as ``s_out``.
        y_in: In: an element of a query, key or value; out as ``y_out``.
    """

    run: Any
    beat_in: Any
    x_in: Any
    s_in: Any
    y_in: Any
    beat_out: Any
    x_out: Any
    s_out: Any
    y_out: Any

    def __init__(self, size: FlashShapes) -> None:
        """Make the ports."""
        self.size = size
        super().__init__(ports(size, wide=False))

    def elaborate(self, platform: object) -> Module:
        """One multiplier, whose factors depend on the beat."""
        m = Module()
        size, op = self.size, self.beat_in.op
        query, total = Signal(size.element), Signal(size.sum)
        wide = Signal(size.sum, name="multiplicand")
        narrow = Signal(signed(max(size.power.width + 1, size.value_bits)), name="multiplier")
        product: Any = Signal(signed(max(size.sum.width + size.power_fraction, size.across.width)), name="product")
        scores, drains = op == Op.SCORE, op == Op.DRAIN
        m.d.comb += [
            wide.eq(Mux(op == Op.SCALE, total, Mux(scores, query, self.y_in))),
            narrow.eq(Mux(scores, self.y_in, self.x_in)),
            product.eq(wide * narrow),
        ]
        with m.If(self.run):
            m.d.sync += [
                self.beat_out.eq(self.beat_in),
                self.x_out.eq(self.x_in),
                self.y_out.eq(self.y_in),
                self.s_out.eq(Mux(drains, total, self.s_in + product)),
            ]
            with m.Switch(op):
                with m.Case(Op.LOAD):
                    m.d.sync += query.eq(self.y_in)
                with m.Case(Op.SCALE):
                    # A factor is one at most, so nothing is lost above.
                    m.d.sync += total.eq(half_even(product, size.power_fraction))
                with m.Case(Op.WEIGH):
                    m.d.sync += total.eq(total + product.shift_left(size.guard_bits))
                with m.Case(Op.DRAIN):
                    m.d.sync += total.eq(self.s_in)
        return m


class Row(Component):
    """A row of cells, with the ports of one; elements of all columns side by side."""

    run: Any
    beat_in: Any
    x_in: Any
    s_in: Any
    y_in: Any
    beat_out: Any
    x_out: Any
    s_out: Any
    y_out: Any

    def __init__(self, size: FlashShapes) -> None:
        """Make the ports."""
        self.size = size
        super().__init__(ports(size, wide=True))

    def elaborate(self, platform: object) -> Module:
        """From cell to cell."""
        m = Module()
        left: Any = {name: getattr(self, f"{name}_in") for name in ("beat", "x", "s")}
        for j in range(self.size.cols):
            cell: Any = Cell(self.size)
            place(m, platform, cell, f"cell{j}", "flash_cell")
            m.d.comb += [cell.run.eq(self.run), cell.y_in.eq(self.y_in[j]), self.y_out[j].eq(cell.y_out)]
            m.d.comb += [getattr(cell, f"{name}_in").eq(value) for name, value in left.items()]
            left = {name: getattr(cell, f"{name}_out") for name in left}
        m.d.comb += [getattr(self, f"{name}_out").eq(value) for name, value in left.items()]
        return m
