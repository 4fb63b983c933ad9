"""The queries in flight: so many places as rows are kept for, given out to hashes and given back by the output.

Of every place it is noted, a bit each, which banks have looked at all their keys, whether any bank has found a
candidate, and whether the query is decided: all banks have looked, and if none had found a candidate, it is known which
bank works on the best key. Queries are decided in their order, one a cycle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from siloom.rtl.beside import after
from siloom.rtl.machines._elsa_shapes import Shapes


class Window(wiring.Component):
    """The window; banks are in the order of their numbers.

    Attributes:
        clear: A head begins.
        room: There is a place for another query.
        begins: A query takes ``place``.
        finds: Each bank has a candidate for the query at its place ``looked``.
        ends: Each bank has looked at its last keys for that query.
        asked: The place of the query that is decided next.
        records: What each bank has found for it.
        window: What is known of all queries, by bank.
        merged: The place of the query whose sums are merged next.
        decided: It is decided.
        with_sums: The banks that have sums of it.
        leaves: It has been merged.
    """

    clear: Signal
    room: Signal
    begins: Signal
    place: Signal
    finds: Signal
    ends: Signal
    asked: Signal
    merged: Signal
    decided: Signal
    with_sums: Signal
    leaves: Signal

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes
        banks = shapes.banks
        super().__init__(
            {
                "clear": In(1),
                "room": Out(1),
                "begins": In(1),
                "place": Out(shapes.query),
                "looked": In(shapes.query).array(banks),
                "finds": In(banks),
                "ends": In(banks),
                "asked": Out(shapes.query),
                "records": In(shapes.record).array(banks),
                "window": Out(shapes.window).array(banks),
                "merged": Out(shapes.query),
                "decided": Out(1),
                "with_sums": Out(banks),
                "leaves": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Places, decisions and what follows from them."""
        m = Module()
        shapes = self._shapes
        held, banks = shapes.held, shapes.banks
        me: Any = self
        found, decided = Signal(held), Signal(held)
        ended = [Signal(held, name=f"ended{bank}") for bank in range(banks)]
        rescued = [Signal(held, name=f"rescued{bank}") for bank in range(banks)]
        sums = [Signal(held, name=f"sums{bank}") for bank in range(banks)]

        inside = Signal(range(held + 1))
        m.d.comb += self.room.eq(inside != held)
        m.d.sync += inside.eq(inside + self.begins - self.leaves)
        decides = Signal()
        for pointer, moves in ((self.place, self.begins), (self.asked, decides), (self.merged, self.leaves)):
            with m.If(moves):
                m.d.sync += pointer.eq(after(pointer, held))

        best = self._best(m)
        none = Signal()
        m.d.comb += [
            decides.eq(Cat(bits.bit_select(self.asked, 1) for bits in ended).all()),
            none.eq(Cat(me.records[bank].none for bank in range(banks)).all()),
        ]
        with m.If(decides):
            # The next query at this place has not been looked at.
            m.d.sync += [bits.bit_select(self.asked, 1).eq(0) for bits in ended]
            m.d.sync += decided.bit_select(self.asked, 1).eq(1)
        for bank in range(banks):
            mine = Signal(name=f"bank{bank}_is_best")
            m.d.comb += mine.eq(none & (best.bank == bank))
            with m.If(decides):
                m.d.sync += [
                    rescued[bank].bit_select(self.asked, 1).eq(mine),
                    sums[bank].bit_select(self.asked, 1).eq(mine | ~me.records[bank].none),
                ]
            with m.If(self.ends[bank]):
                m.d.sync += ended[bank].bit_select(me.looked[bank], 1).eq(1)
            with m.If(self.finds[bank]):
                m.d.sync += found.bit_select(me.looked[bank], 1).eq(1)
        # By the time a query has been merged, every bank's worker has left it behind.
        with m.If(self.leaves):
            m.d.sync += [bits.bit_select(self.merged, 1).eq(0) for bits in (found, decided, *rescued)]
        with m.If(self.clear):
            m.d.sync += [self.place.eq(0), self.asked.eq(0), self.merged.eq(0)]

        m.d.comb += [
            self.decided.eq(decided.bit_select(self.merged, 1)),
            self.with_sums.eq(Cat(bits.bit_select(self.merged, 1) for bits in sums)),
        ]
        for bank in range(banks):
            m.d.comb += [
                me.window[bank].found.eq(found),
                me.window[bank].decided.eq(decided),
                me.window[bank].rescued.eq(rescued[bank]),
            ]
        return m

    def _best(self, m: Module) -> Any:
        """The best key of all banks: among equals the one that comes first in the head."""
        shapes = self._shapes
        layout = data.StructLayout({"best": shapes.best, "bank": shapes.bank})

        def better(found: Sequence[Any]) -> Any:
            if len(found) == 1:
                return found[0]
            half = (len(found) + 1) // 2
            one, other = better(found[:half]), better(found[half:])
            a, b = one.best, other.best
            ahead = (b.estimate > a.estimate) | ((b.estimate == a.estimate) & (b.local < a.local))
            best: Any = Signal(layout, name="better")
            m.d.comb += best.eq(Mux(b.any & (~a.any | ahead), other, one))
            return best

        banks = []
        for bank in range(shapes.banks):
            mine: Any = Signal(layout, name=f"best_of_bank{bank}")
            me: Any = self
            m.d.comb += [mine.best.eq(me.records[bank].best), mine.bank.eq(Const(bank, len(mine.bank)))]
            banks.append(mine)
        return better(banks)
