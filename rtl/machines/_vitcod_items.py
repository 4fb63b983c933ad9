"""A line's work in the sparser engine: columns of keys with their queries, and rows of scores with their keys.

Which line takes which column or row is worked out with the mask, before anything runs, as the engine's lines would
take them as they become free. Each line has a queue of both, filled as tokens are loaded, and goes through the bits of
what is in front of it, one in every cycle. A row's scores are fetched while the row before is worked on.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from siloom.rtl.fifo import Fifo
from siloom.rtl.machines._vitcod_layouts import Layouts, lowest
from siloom.rtl.pick import pick
from siloom.rtl.unread import unread


class Columns(wiring.Component):
    """The queue of columns.

    Attributes:
        given: In: ``item`` comes, of the head in ``item_half``.
        half: In: that of the head that is worked on.
        works: In: the line makes scores.
        valid: Out: a score is asked for, of ``row`` and ``column``; ``first`` of its column.
        busy: Out: more of this head is left behind this cycle, of what has come.
    """

    given: Any
    item: Any
    item_half: Any
    half: Any
    works: Any
    valid: Any
    row: Any
    column: Any
    first: Any
    busy: Any

    def __init__(self, layouts: Layouts) -> None:
        self._layouts = layouts
        super().__init__(
            {
                "given": In(1),
                "item": In(layouts.item),
                "item_half": In(1),
                "half": In(1),
                "works": In(1),
                "valid": Out(1),
                "row": Out(layouts.index),
                "column": Out(layouts.index),
                "first": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Bits of the first column, lowest first."""
        m = Module()
        layouts = self._layouts
        m.submodules.queue = queue = Fifo(layouts.item, 2 * layouts.size.seq)
        left, ends = counted(m, self.given, self.item_half, self.half)
        inside, rest = Signal(), Signal(layouts.size.seq)
        bits: Any = Signal(layouts.size.seq)
        m.d.comb += bits.eq(Mux(inside, rest, queue.o.p.kept))
        row, more = lowest(m, "lowest", bits, layouts.index)
        m.d.comb += [
            queue.i.valid.eq(self.given),
            queue.i.payload.eq(self.item),
            self.valid.eq(self.works & left.any()),
            self.row.eq(row),
            self.column.eq(queue.o.p.number),
            self.first.eq(~inside),
            ends.eq(self.valid & ~more.any()),
            queue.o.ready.eq(ends),
            self.busy.eq(left != ends),
        ]
        unread(m, [queue.i.ready, queue.o.valid, queue.level])
        with m.If(self.valid):
            m.d.sync += [inside.eq(~ends), rest.eq(more)]
        return m


class Rows(wiring.Component):
    """The queue of rows, and the scores of two of them.

    Attributes:
        given, item, item_half, half: In: as of :class:`Columns`.
        works: In: the line sums, and has room.
        asks: Out: the scores of row ``asked`` are wanted; ``granted``: In: they come in the next cycle, as ``scores``
            with the row's ``largest``.
        valid: Out: a weighted value is asked for, of ``row`` and ``column``, with its score; ``first`` and ``last``
            of the row.
        busy: Out: as of :class:`Columns`.
        idle: No row is there or on its way; ``left``: how many are not done.
    """

    given: Any
    item: Any
    item_half: Any
    half: Any
    works: Any
    asks: Any
    asked: Any
    granted: Any
    scores: Any
    largest: Any
    valid: Any
    row: Any
    column: Any
    score: Any
    row_largest: Any
    first: Any
    last: Any
    busy: Any

    def __init__(self, layouts: Layouts) -> None:
        self._layouts = layouts
        super().__init__(
            {
                "given": In(1),
                "item": In(layouts.item),
                "item_half": In(1),
                "half": In(1),
                "works": In(1),
                "asks": Out(1),
                "asked": Out(layouts.index),
                "granted": In(1),
                "scores": In(layouts.block).array(layouts.size.blocks),
                "largest": In(layouts.score),
                "valid": Out(1),
                "row": Out(layouts.index),
                "column": Out(layouts.index),
                "score": Out(layouts.score),
                "row_largest": Out(layouts.score),
                "first": Out(1),
                "last": Out(1),
                "busy": Out(1),
            }
        )
        self.idle: Any = Signal()
        self.left: Any = Signal(9)

    def elaborate(self, platform: object) -> Module:
        """Two places for rows, in turn filled and worked on."""
        m = Module()
        layouts = self._layouts
        seq = layouts.size.seq
        m.submodules.queue = queue = Fifo(layouts.item, 2 * seq)
        left, ends = counted(m, self.given, self.item_half, self.half)
        shape = data.StructLayout({"largest": layouts.score, "kept": seq, "row": layouts.index})
        places: list[Any] = [Signal(shape, name=f"place{n}", reset_less=True) for n in range(2)]
        # Registers of their own, as simulators are slow at parts of wide ones.
        kept = [[Signal(layouts.score, name=f"score{n}_{c}", reset_less=True) for c in range(seq)] for n in range(2)]
        given_scores = [score for block in self.scores for score in block]
        full = Signal(2)
        fills, works_on, coming = Signal(), Signal(), Signal()
        claimed: Any = Signal(range(3))
        item: Any = Signal(layouts.item)
        m.d.comb += [
            queue.i.valid.eq(self.given),
            queue.i.payload.eq(self.item),
            # Rows that are claimed are of this head, and out of the queue.
            self.asks.eq((left > claimed) & ((claimed != 2) | ends)),
            self.asked.eq(queue.o.p.number),
            queue.o.ready.eq(self.granted),
            self.idle.eq(claimed == 0),
            self.left.eq(left),
        ]
        unread(m, [queue.i.ready, queue.o.valid, queue.level])
        m.d.sync += [coming.eq(self.granted), claimed.eq(claimed + self.granted - ends)]
        with m.If(self.granted):
            m.d.sync += item.eq(queue.o.payload)
        for n, place in enumerate(places):
            with m.If(coming & (fills == n)):
                m.d.sync += [
                    full[n].eq(1),
                    *(score.eq(given) for score, given in zip(kept[n], given_scores, strict=True)),
                    place.largest.eq(self.largest),
                    place.kept.eq(item.kept),
                    place.row.eq(item.number),
                ]
            with m.If(ends & (works_on == n)):
                m.d.sync += full[n].eq(0)
        m.d.sync += [fills.eq(fills ^ coming), works_on.eq(works_on ^ ends)]

        inside, rest = Signal(), Signal(seq)
        bits: Any = Signal(seq)
        m.d.comb += bits.eq(Mux(inside, rest, Mux(works_on, places[1].kept, places[0].kept)))
        column, more = lowest(m, "lowest", bits, layouts.index)
        both = [Mux(works_on, second, first) for first, second in zip(*kept, strict=True)]
        m.d.comb += [
            self.valid.eq(self.works & full.bit_select(works_on, 1)),
            self.row.eq(Mux(works_on, places[1].row, places[0].row)),
            self.row_largest.eq(Mux(works_on, places[1].largest, places[0].largest)),
            self.column.eq(column),
            self.score.eq(pick(both, column)),
            self.first.eq(~inside),
            self.last.eq(~more.any()),
            ends.eq(self.valid & self.last),
            self.busy.eq(left != ends),
        ]
        with m.If(self.valid):
            m.d.sync += [inside.eq(~ends), rest.eq(more)]
        return m


def counted(m: Module, given: Any, given_half: Any, half: Any) -> tuple[Any, Any]:
    """How many items of the head in ``half`` have come and are not done, and the wire that says that one is."""
    ends = Signal(name="ends")
    left = [Signal(9, name=f"left{n}") for n in range(2)]
    for n in range(2):
        more, less = given & (given_half == n), ends & (half == n)
        m.d.sync += left[n].eq(left[n] + more - less)
    here: Any = Signal(9, name="left")
    m.d.comb += here.eq(Mux(half, left[1], left[0]))
    return here, ends
