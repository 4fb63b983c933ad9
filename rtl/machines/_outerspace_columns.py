"""The controller while the tile multiplies: columns of A in order, and for each element the row of B that it meets.

It reads ahead both lists of pointers and A itself. A column takes a cycle; beside that so does each element, and those
that meet an empty row of B are passed over. Chunks are placed one behind the other in the order in which they are
handed out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from siloom.rtl.machines._outerspace_multiply import WORK
from siloom.rtl.machines._outerspace_port import READERS
from siloom.rtl.machines._outerspace_read import Read
from siloom.rtl.machines._outerspace_size import ELEMENT_WORDS, JOB, PLACE_BITS, ROW_BITS, WORD_BITS, TileSize

JOB_LAYOUT = data.StructLayout(dict(JOB))
PIECE = data.StructLayout({"work": WORK, "row": ROW_BITS})
"""A chunk, and the row of the result that it belongs to."""
_COLUMN = data.StructLayout({"elements": PLACE_BITS, "begin": PLACE_BITS, "count": PLACE_BITS})
"""A column's elements, and the row of B that they meet: its first word, and its elements."""
_MET = 4
"""Columns that wait for their elements."""


class Columns(wiring.Component):
    """The walk over A.

    Attributes:
        begin: High for a cycle: walk over the operands of ``job``.
        job: Constant while it walks.
        asks: For A's pointers, B's, and A, numbers of bursts.
        came: For each of them: ``burst`` is its next one.
        burst: See ``came``.
        work: Chunks out.
        done: All of A has been walked over.
    """

    begin: Signal
    job: Any
    asks: Sequence[stream.Interface]
    came: Signal
    burst: Signal
    work: stream.Interface
    done: Signal

    def __init__(self, size: TileSize) -> None:
        """Bursts of this tile."""
        self.size = size
        super().__init__(
            {
                "begin": In(1),
                "job": In(JOB_LAYOUT),
                "asks": Out(stream.Signature(size.burst_bits)).array(READERS),
                "came": In(READERS),
                "burst": In(size.burst_words * WORD_BITS),
                "work": Out(stream.Signature(PIECE)),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Pointers one by one, elements one by one."""
        m = Module()
        job, work = self.job, self.work.p
        elements, of_a, of_b = Read(self.size, ELEMENT_WORDS), Read(self.size, 1), Read(self.size, 1)
        sides = (
            (of_a, job.a_pointers, job.columns + 1),
            (of_b, job.b_pointers, job.columns + 1),
            (elements, job.a, job.elements),
        )
        for k, (side, place, count) in enumerate(sides):
            m.submodules[("a_pointers", "b_pointers", "elements")[k]] = side
            wiring.connect(m, side.asks, wiring.flipped(self.asks[k]))
            m.d.comb += [
                side.begin.eq(self.begin), side.place.eq(place), side.count.eq(count), side.came.eq(self.came[k]),
                side.burst.eq(self.burst),
            ]  # fmt: skip

        a_at, b_at, columns = Signal(PLACE_BITS), Signal(PLACE_BITS), Signal(job.columns.shape())
        a_next, b_next = of_a.items.p.words[0], of_b.items.p.words[0]
        both, rests = of_a.items.valid & of_b.items.valid, Signal(init=1)
        m.submodules.met = met = SyncFIFO(width=_COLUMN.size, depth=_MET)

        def pass_pointers(passes: Any) -> None:
            m.d.comb += [of_a.items.ready.eq(passes), of_b.items.ready.eq(passes)]
            with m.If(passes):
                m.d.sync += [a_at.eq(a_next), b_at.eq(b_next)]

        with m.FSM():
            with m.State("rest"), m.If(self.begin):
                m.d.sync += [rests.eq(0), columns.eq(job.columns)]
                m.next = "first"
            with m.State("first"):
                pass_pointers(both)
                with m.If(both):
                    m.next = "column"
            with m.State("column"):
                passes = both & met.w_rdy & (columns != 0)
                pass_pointers(passes)
                m.d.comb += met.w_en.eq(passes & (a_next != a_at))
                with m.If(passes):
                    m.d.sync += columns.eq(columns - 1)
                with m.If(columns == 0):
                    m.d.sync += rests.eq(1)
                    m.next = "rest"
        begin, count = (job.b + b_at * ELEMENT_WORDS)[:PLACE_BITS], (b_next - b_at)[:PLACE_BITS]
        m.d.comb += [
            met.w_data.eq(Cat((a_next - a_at)[:PLACE_BITS], begin, count)),
            self.done.eq(rests & ~met.r_rdy),
        ]

        column: Any = data.View(_COLUMN, met.r_data)
        passed, chunk = Signal(PLACE_BITS), Signal(PLACE_BITS)
        item, moves, skips = elements.items.p, Signal(), Signal()
        m.d.comb += [
            skips.eq(column.count == 0),
            work.row.eq(item.words[0]),
            work.work.factor.eq(Cat(item.words[1], item.words[2])),
            work.work.begin.eq(column.begin),
            work.work.count.eq(column.count),
            work.work.chunk.eq(chunk),
            self.work.valid.eq(met.r_rdy & elements.items.valid & ~skips),
            elements.items.ready.eq(met.r_rdy & (skips | self.work.ready)),
            moves.eq(elements.items.valid & elements.items.ready),
            met.r_en.eq(moves & (passed + 1 == column.elements)),
        ]
        with m.If(moves):
            m.d.sync += passed.eq(Mux(met.r_en, 0, passed + 1))
            with m.If(~skips):
                m.d.sync += chunk.eq(chunk + 1 + column.count * ELEMENT_WORDS)
        with m.If(self.begin):
            m.d.sync += chunk.eq(job.chunks)
        return m
