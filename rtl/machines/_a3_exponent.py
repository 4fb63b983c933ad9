"""Exponentials of how far a query's scores lie below its largest, a score a cycle, and their sum.

With post-scoring only the scores that were kept are taken, in their order; else all of them are. In its first cycle
the module waits for the last comparison of post-scoring, which is on its way. A distance is multiplied by
1/sqrt(dim), rounded halves up, and held at the largest number that the exponential takes.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from siloom.models._a3_units import SCALE_BITS, scale_factor
from siloom.rtl.barrel import named
from siloom.rtl.beside import after, beside
from siloom.rtl.machines._a3_size import Size
from siloom.rtl.machines._a3_turn import Turn
from siloom.rtl.machines._a3_walk import Walk
from siloom.rtl.units.exp_split import ExpSplit


class Exponent(wiring.Component):
    """The module.

    Attributes:
        i: Queries whose scores are all there.
        o: The sum of a query's powers, and the ordinal of its last one.
        slot: Where the query's scores lie.
        kept: Those that are taken, from the second cycle on.
        fetches: One is read.
        ordinal: Which one.
        fetched: It, in the next cycle.
        found: A power that is written down.
    """

    i: stream.Interface
    o: stream.Interface
    slot: Signal
    kept: Signal
    fetches: Signal
    ordinal: Signal
    fetched: Any
    found: Any

    def __init__(self, size: Size) -> None:
        self._size = size
        super().__init__(
            {
                "i": In(stream.Signature(size.scored)),
                "o": Out(stream.Signature(size.weighed)),
                "slot": Out(size.slot),
                "fetches": Out(1),
                "ordinal": Out(size.number),
                "fetched": In(size.score_entry),
                "found": Out(size.power_write),
            }
            | ({"kept": In(size.keys)} if size.posts else {})
        )

    def elaborate(self, platform: object) -> Module:
        """Scores are read, scaled, and their powers counted and added up."""
        m = Module()
        size, unit = self._size, self._size.units.power
        m.submodules.power = power = ExpSplit(unit)
        turn = Turn(m, self.i, self.o)
        query: Any = Signal(size.scored)
        waits, begins, ends = Signal(), Signal(), Signal()
        m.d.sync += [waits.eq(turn.takes), begins.eq(waits)]
        with m.If(turn.takes):
            m.d.sync += query.eq(self.i.payload)
        self._choose(m, begins, query, ends)
        with m.If(turn.leaves):
            m.d.sync += self.slot.eq(after(self.slot, size.slots))

        there, there_last, scaled = Signal(), Signal(), Signal()
        note: Any = Signal(data.StructLayout({"key": size.number, "last": 1}))
        x = Signal(unit.x_bits)
        below = named(m, (query.largest - self.fetched.score)[: size.score.width], "below")
        product = named(m, below * scale_factor(size.dim) + (1 << (SCALE_BITS - 1)), "product_and_half")
        whole = named(m, product >> SCALE_BITS, "whole")
        m.d.sync += [there.eq(self.fetches), there_last.eq(ends), scaled.eq(there)]
        m.d.sync += [note.key.eq(self.fetched.key), note.last.eq(there_last)]
        m.d.sync += x.eq(Mux(whole > unit.largest, unit.largest, whole))
        # Powers have their places, so that nothing ever waits in the unit.
        comes = named(m, power.o.valid, "comes")
        m.d.comb += [power.i.valid.eq(scaled), power.i.p.x.eq(x), power.o.ready.eq(1)]
        came = beside(m, "notes", note.shape(), unit.stages, note, scaled, comes)

        slot, ordinal, last = Signal(size.power_slot), Signal(size.number), Signal(size.number)
        total, now = Signal(size.total), Signal(size.total)
        added = Mux(ordinal.any(), total, 0) + power.o.p.power
        m.d.comb += [
            now.eq(Mux(comes, added, total)),
            turn.done.eq(comes & came.last),
            self.found.valid.eq(comes),
            self.found.slot.eq(slot),
            self.found.ordinal.eq(ordinal),
            self.found.entry.key.eq(came.key),
            self.found.entry.power.eq(power.o.p.power),
            self.o.p.total.eq(now),
            self.o.p.last.eq(Mux(comes, ordinal, last)),
        ]
        m.d.sync += total.eq(now)
        with m.If(comes):
            m.d.sync += [last.eq(ordinal), ordinal.eq(Mux(came.last, 0, ordinal + 1))]
            with m.If(came.last):
                m.d.sync += slot.eq(after(slot, size.power_slots))
        return m

    def _choose(self, m: Module, begins: Any, query: Any, ends: Any) -> None:
        """Which score is read in a cycle; ``ends`` with the last one."""
        if self._size.posts:
            walk = Walk(m, begins, self.kept)
            m.d.comb += [self.fetches.eq(walk.steps), self.ordinal.eq(walk.number), ends.eq(walk.last)]
            return
        goes, place = Signal(), Signal(self._size.number)
        m.d.comb += [
            self.fetches.eq(begins | goes),
            self.ordinal.eq(Mux(begins, Const(0, 1), place)),
            ends.eq(self.ordinal == query.last),
        ]
        with m.If(self.fetches):
            m.d.sync += [goes.eq(~ends), place.eq(self.ordinal + 1)]
