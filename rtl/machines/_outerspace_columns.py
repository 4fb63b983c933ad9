"""The controller while the tile multiplies: columns of A in order, and for each element the row of B that it meets.

It reads ahead both lists of pointers and A itself. A column takes a cycle, and so does each of its elements; those
that meet an empty row of B are passed over. Chunks are placed one behind the other in the order in which they are
handed out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from siloom.rtl.machines._outerspace_multiply import WORK
from siloom.rtl.machines._outerspace_port import READERS
from siloom.rtl.machines._outerspace_read import Read
from siloom.rtl.machines._outerspace_size import ELEMENT_WORDS, JOB, PLACE_BITS, ROW_BITS, WORD_BITS, TileSize

JOB_LAYOUT = data.StructLayout(dict(JOB))
PIECE = data.StructLayout({"work": WORK, "row": ROW_BITS})
"""A chunk, and the row of the result that it belongs to."""


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
                "done": Out(1, init=1),
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
        left, begin, count, chunk = Signal(PLACE_BITS), Signal(PLACE_BITS), Signal(PLACE_BITS), Signal(PLACE_BITS)
        a_next, b_next = of_a.items.p.words[0], of_b.items.p.words[0]
        both = of_a.items.valid & of_b.items.valid
        item = elements.items.p
        m.d.comb += [
            work.row.eq(item.words[0]),
            work.work.factor.eq(Cat(item.words[1], item.words[2])),
            work.work.begin.eq(begin),
            work.work.count.eq(count),
            work.work.chunk.eq(chunk),
        ]

        def pass_pointers() -> None:
            m.d.comb += [of_a.items.ready.eq(both), of_b.items.ready.eq(both)]
            with m.If(both):
                m.d.sync += [a_at.eq(a_next), b_at.eq(b_next)]

        with m.FSM():
            with m.State("rest"), m.If(self.begin):
                m.d.sync += [self.done.eq(0), columns.eq(job.columns), chunk.eq(job.chunks)]
                m.next = "first"
            with m.State("first"):
                pass_pointers()
                with m.If(both):
                    m.next = "column"
            with m.State("column"):
                with m.If(columns == 0):
                    m.d.sync += self.done.eq(1)
                    m.next = "rest"
                with m.Else():
                    pass_pointers()
                    with m.If(both):
                        m.d.sync += [
                            columns.eq(columns - 1),
                            left.eq(a_next - a_at),
                            begin.eq(job.b + b_at * ELEMENT_WORDS),
                            count.eq(b_next - b_at),
                        ]
                        with m.If(a_next != a_at):
                            m.next = "element"
            with m.State("element"):
                passes = Signal()
                m.d.comb += [
                    self.work.valid.eq(elements.items.valid & (count != 0)),
                    elements.items.ready.eq((count == 0) | self.work.ready),
                    passes.eq(elements.items.valid & elements.items.ready),
                ]
                with m.If(passes):
                    m.d.sync += left.eq(left - 1)
                    with m.If(count != 0):
                        m.d.sync += chunk.eq(chunk + 1 + count * ELEMENT_WORDS)
                    with m.If(left == 1):
                        m.next = "column"
        return m
