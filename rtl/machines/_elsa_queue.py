"""One bank's queue of candidates: several in a cycle, one out.

A ring of registers. The hits of a step go to the next places in the order of their lanes; all of them wait until
there is room for all. A candidate is handed out only when it is known whether it is its query's last: when another one
of the query is there or waits to come in, or the query's last step has been seen. That step marks the last place.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from siloom.rtl.beside import after
from siloom.rtl.machines._elsa_shapes import Shapes


class CandidateQueue(wiring.Component):
    """The queue.

    Attributes:
        i: Steps of looking at keys, those without hits too.
        o: Local numbers of candidates, and whether each is its query's last.
        none: The step that comes in is its query's last, and the query has no candidate here.
    """

    i: stream.Interface
    o: stream.Interface
    none: Signal

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes
        super().__init__(
            {
                "i": In(stream.Signature(shapes.found)),
                "o": Out(stream.Signature(shapes.candidate)),
                "none": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Places, the ends of the ring, and what is known of the head."""
        m = Module()
        shapes = self._shapes
        slots, width = shapes.slots, shapes.width
        hits = self.i.p.hits
        head, tail = Signal(range(slots)), Signal(range(slots))
        level, count = Signal(range(slots + 1)), Signal(range(width + 1))
        puts, takes, some = Signal(), Signal(), Signal()
        m.d.comb += [
            takes.eq(self.o.valid & self.o.ready),
            self.i.ready.eq(level + count <= slots + takes),
            puts.eq(self.i.valid & self.i.ready),
            self.none.eq(self.i.p.last & ~some & ~hits.any()),
        ]
        next_tail = _around(m, tail, count, slots)
        with m.If(puts):
            m.d.sync += [
                tail.eq(next_tail),
                some.eq((some | hits.any()) & ~self.i.p.last),
            ]
        with m.If(takes):
            m.d.sync += head.eq(after(head, slots))
        m.d.sync += level.eq(level + Mux(puts, count, 0) - takes)

        entries = [Signal(shapes.local, name=f"entry{slot}") for slot in range(slots)]
        marks = Signal(slots)
        newest = Signal(range(slots))
        m.d.comb += newest.eq(Mux(tail == 0, slots - 1, tail - 1))
        with m.If(puts & self.i.p.last & some & ~hits.any()):
            m.d.sync += marks.bit_select(newest, 1).eq(1)
        rank: Any = 0  # how many hits lie in the lanes before
        for lane in range(width):
            at: Any = Signal(range(slots), name=f"place{lane}")
            m.d.comb += at.eq(_around(m, tail, rank, slots))
            later = hits[lane + 1 :].any() if lane + 1 < width else 0
            for slot in range(slots):
                with m.If(puts & hits[lane] & (at == slot)):
                    m.d.sync += [
                        entries[slot].eq(self.i.p.base + lane),
                        marks[slot].eq(self.i.p.last & ~later),
                    ]
            before, rank = rank, Signal(range(width + 1), name=f"rank{lane + 1}")
            m.d.comb += rank.eq(before + hits[lane])
        m.d.comb += count.eq(rank)
        more = (level > 1) | (self.i.valid & hits.any())
        m.d.comb += [
            self.o.p.local.eq(Cat(entries).word_select(head, len(entries[0]))),
            self.o.p.last.eq(marks.bit_select(head, 1)),
            self.o.valid.eq((level != 0) & (self.o.p.last | more)),
        ]
        return m


def _around(m: Module, place: Any, steps: Any, places: int) -> Any:
    """The place so many steps after this one in a ring."""
    beyond: Any = Signal(range(2 * places), name="beyond")
    m.d.comb += beyond.eq(place + steps)
    return Mux(beyond >= places, beyond - places, beyond)
