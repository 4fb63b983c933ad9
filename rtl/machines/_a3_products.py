"""Exact products of a query with the keys chosen for it, a key a cycle, and the largest of them.

Scores are written down in the order of their keys. A query leaves with its last score.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from siloom.rtl.barrel import named
from siloom.rtl.beside import after, beside
from siloom.rtl.lanes import lanes
from siloom.rtl.machines._a3_size import Size
from siloom.rtl.machines._a3_turn import Turn
from siloom.rtl.machines._a3_walk import Walk
from siloom.rtl.units.dot_product import DotProduct


class Products(wiring.Component):
    """The module.

    Attributes:
        key: A row of K that is written.
        i: The keys chosen for each query.
        o: Its largest score, and the ordinal of its last one.
        takes: A query comes in at the end of this cycle.
        query: Its row, from the next cycle on.
        found: A score that is written down.
    """

    key: Any
    i: stream.Interface
    o: stream.Interface
    takes: Signal
    query: Any
    found: Any

    def __init__(self, size: Size) -> None:
        self._size = size
        super().__init__(
            {
                "key": In(size.row_write),
                "i": In(stream.Signature(size.chosen)),
                "o": Out(stream.Signature(size.scored)),
                "takes": Out(1),
                "query": In(size.row),
                "found": Out(size.score_write),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """The keys are read, multiplied, and what comes out is counted."""
        m = Module()
        size = self._size
        m.submodules.product = product = DotProduct(size.units.product)
        turn = Turn(m, self.i, self.o)
        m.d.comb += self.takes.eq(turn.takes)
        chosen, begins = Signal(size.keys), Signal()
        m.d.sync += begins.eq(turn.takes)
        with m.If(turn.takes):
            m.d.sync += chosen.eq(self.i.p.keys)
        walk = Walk(m, begins, chosen)

        memory = Memory(shape=size.row, depth=1 << size.number_bits, init=[])
        m.submodules.keys = memory
        write, read = memory.write_port(), memory.read_port()
        note: Any = Signal(data.StructLayout({"key": size.number, "last": 1}))
        there, comes = Signal(), Signal()
        m.d.comb += [
            write.en.eq(self.key.valid),
            write.addr.eq(self.key.at),
            write.data.eq(self.key.row),
            read.en.eq(walk.steps),
            read.addr.eq(walk.number),
        ]
        m.d.sync += [there.eq(walk.steps), note.key.eq(walk.number), note.last.eq(walk.last)]
        # Scores have their places, so that nothing ever waits in the unit.
        m.d.comb += [
            product.i.valid.eq(there),
            Cat(*lanes(product.i.p.a)).eq(self.query.as_value()),
            Cat(*lanes(product.i.p.b)).eq(read.data.as_value()),
            product.o.ready.eq(1),
            comes.eq(product.o.valid),
        ]
        came = beside(m, "notes", note.shape(), size.units.product.stages, note, there, comes)

        score = product.o.p.product
        slot, ordinal = Signal(size.slot), Signal(size.number)
        largest = Signal(size.score)
        above = named(m, comes & (~ordinal.any() | (score > largest)), "above")
        now = named(m, Mux(above, score, largest), "largest_now")
        last = Signal(size.number)
        m.d.comb += [
            turn.done.eq(comes & came.last),
            self.found.valid.eq(comes),
            self.found.slot.eq(slot),
            self.found.ordinal.eq(ordinal),
            self.found.entry.key.eq(came.key),
            self.found.entry.score.eq(score),
            self.o.p.largest.eq(now),
            self.o.p.last.eq(Mux(comes, ordinal, last)),
        ]
        m.d.sync += largest.eq(now)
        with m.If(comes):
            m.d.sync += [last.eq(ordinal), ordinal.eq(Mux(came.last, 0, ordinal + 1))]
            with m.If(came.last):
                m.d.sync += slot.eq(after(slot, size.slots))
        return m
