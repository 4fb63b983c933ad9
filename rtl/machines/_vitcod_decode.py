"""The decoder: a head's queries and keys made of fewer encoded heads, a token after another.

Of a token all encoded heads come at once and wait in front of the decoder for as long as it takes: every lane makes one
element in a cycle, and there are as many lanes as the decoder's multipliers feed. A token's elements are gathered and
go on together with the last of them. The weights are the head's, one set for queries and one for keys. Encoded tokens
come again for every head that is made of them; a memory that held them all is outside.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, signed
from amaranth.lib import data, stream

from siloom.rtl.barrel import named
from siloom.rtl.beside import after, beside
from siloom.rtl.lanes import lanes as lanes_of
from siloom.rtl.machines._vitcod_layouts import Layouts
from siloom.rtl.pick import pick
from siloom.rtl.shared import place
from siloom.rtl.units.head_mix import HeadMix


class Decoder(Elaboratable):
    """From encoded tokens to tokens.

    Attributes:
        i: Stream in: encoded tokens.
        o: Stream out: tokens.
        heads: In: what the heads in the places are like; ``known``: how many were announced.
        head: That whose tokens come, and ``weights`` of the one that comes.
    """

    def __init__(self, layouts: Layouts, heads: list[Any]) -> None:
        self._layouts, self.heads = layouts, heads
        self.i: Any = stream.Signature(layouts.encoded).flip().create()
        self.o: Any = stream.Signature(layouts.token).create()
        self.known: Any = Signal(3)
        self.head: Any = Signal(layouts.head)
        self.weights: Any = Signal(layouts.size.encoded * layouts.size.design.weight_bits)

    def elaborate(self, platform: object) -> Module:
        """Some elements in each cycle."""
        m = Module()
        layouts, size = self._layouts, self._layouts.size
        steps, count = size.decode_cycles, size.dim // size.decode_cycles
        heading, token = Signal(3), Signal(layouts.count + 1)
        step, out_step = Signal(range(max(2, steps))), Signal(range(max(2, steps)))
        head = self.head
        m.d.comb += [
            head.eq(pick(self.heads, heading[:2])),
            self.weights.eq(Mux(token < head.seq, Cat(*head.query_weights), Cat(*head.key_weights))),
        ]
        lanes: list[Any] = [HeadMix(size.mix) for _ in range(count)]
        goes, last = Signal(), named(m, step == steps - 1, "last")
        ready = named(m, Cat(lane.i.ready for lane in lanes).all(), "ready")
        offers = named(m, self.i.valid & (heading != self.known), "offers")
        m.d.comb += [goes.eq(offers & ready), self.i.ready.eq(ready & last & (heading != self.known))]
        ends = named(m, token + 1 == head.seq << 1, "ends")
        with m.If(goes):
            m.d.sync += step.eq(after(step, steps))
            with m.If(last):
                m.d.sync += [token.eq(Mux(ends, 0, token + 1)), heading.eq(heading + ends)]
        for number, lane in enumerate(lanes):
            place(m, platform, lane, f"lane{number}", "vitcod_mix")
            elements = [pick([codes[s * count + number] for s in range(steps)], step) for codes in self.i.p.codes]
            m.d.comb += [
                lane.i.valid.eq(offers),
                Cat(*lanes_of(lane.i.p.x)).eq(Cat(elements)),
                Cat(*lanes_of(lane.i.p.w)).eq(self.weights),
            ]
        self._gather(m, lanes, out_step, goes & last)
        return m

    def _gather(self, m: Module, lanes: list[Any], step: Any, enters: Any) -> None:
        """Elements of a token, until the last of them come."""
        layouts, size = self._layouts, self._layouts.size
        steps, code = size.decode_cycles, signed(size.bits)
        came = named(m, Cat(lane.o.valid for lane in lanes).all(), "came")
        last, takes = named(m, step == steps - 1, "last_out"), Signal()
        made: Any = Signal(data.ArrayLayout(code, len(lanes)))
        kept = [Signal(made.shape(), name=f"part{n}", reset_less=True) for n in range(steps - 1)]
        m.d.comb += [
            Cat(*made).eq(Cat(lane.o.p.y for lane in lanes)),
            takes.eq(~last | self.o.ready),
            self.o.valid.eq(came & last),
            Cat(*self.o.p.codes).eq(Cat(*kept, made)),
        ]
        for lane in lanes:
            m.d.comb += lane.o.ready.eq(takes)
        for n, part in enumerate(kept):
            with m.If(came & (step == n)):
                m.d.sync += part.eq(made)
        with m.If(came & takes):
            m.d.sync += step.eq(after(step, steps))
        note: Any = Signal(layouts.place)
        m.d.comb += [note.kept.eq(self.i.p.kept), note.line.eq(self.i.p.line)]
        leaves = named(m, self.o.valid & self.o.ready, "leaves")
        whose: Any = beside(m, "notes", layouts.place, lanes[0].contract.capacity + 1, note, enters, leaves)
        m.d.comb += [self.o.p.kept.eq(whose.kept), self.o.p.line.eq(whose.line)]
