"""The prediction array: a row of cells that multiply and sum, then pass their sums to the right."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from siloom.rtl.machines._sanger_size import SangerSize
from siloom.rtl.shared import place
from siloom.rtl.units.int4_predictor import Int4Predictor
from siloom.rtl.unread import unread


class Cell(Component):
    """One product a cycle, and its sum.

    Attributes:
        given: In: operands lie on ``q`` and ``k``.
        first: In: they are the first of their score.
        move: In: the sum is passed on, and that of the left neighbour taken.
        left: In: the left neighbour's sum.
        total: Out: the sum.
    """

    given: Any
    first: Any
    move: Any
    q: Any
    k: Any
    left: Any
    total: Any

    def __init__(self, size: SangerSize) -> None:
        self.size = size
        code, total = signed(size.design.predictor_bits), signed(size.predicted)
        super().__init__(
            {
                "given": In(1),
                "first": In(1),
                "move": In(1),
                "q": In(code),
                "k": In(code),
                "left": In(total),
                "total": Out(total),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """The product has a register of its own."""
        m = Module()
        unit: Any = Int4Predictor(self.size.product)
        place(m, platform, unit, "unit", "sanger_product")
        opens: Any = Signal()
        m.d.comb += [
            unit.i.valid.eq(self.given),
            unit.i.p.q.eq(self.q),
            unit.i.p.k.eq(self.k),
            unit.o.ready.eq(1),
        ]
        unread(m, [unit.i.ready])
        m.d.sync += opens.eq(self.first)
        with m.If(self.move):
            m.d.sync += self.total.eq(self.left)
        with m.Elif(unit.o.valid):
            m.d.sync += self.total.eq(Mux(opens, 0, self.total) + unit.o.p.score)
        return m


class CellRow(Component):
    """The cells of one query.

    Attributes:
        given, first: In: as for a cell.
        move: In: sums move on.
        q: In: the query's element.
        k: In: the keys' elements.
        total: Out: the rightmost sum.
    """

    given: Any
    first: Any
    move: Any
    q: Any
    k: Any
    total: Any

    def __init__(self, size: SangerSize) -> None:
        self.size = size
        code = signed(size.design.predictor_bits)
        super().__init__(
            {
                "given": In(1),
                "first": In(1),
                "move": In(1),
                "q": In(code),
                "k": In(data.ArrayLayout(code, size.columns)),
                "total": Out(signed(size.predicted)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """From left to right."""
        m = Module()
        left: Any = None
        for c in range(self.size.columns):
            cell: Any = Cell(self.size)
            place(m, platform, cell, f"cell{c}", "sanger_cell")
            m.d.comb += [
                cell.given.eq(self.given),
                cell.first.eq(self.first),
                cell.move.eq(self.move),
                cell.q.eq(self.q),
                cell.k.eq(self.k[c]),
                cell.left.eq(0 if left is None else left.total),
            ]
            left = cell
        m.d.comb += self.total.eq(left.total)
        return m
