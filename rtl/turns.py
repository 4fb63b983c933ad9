"""Several streams into one: whoever was served waits until the others had their turn."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Mux, ShapeLike, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from siloom.rtl.pick import pick


class Turns(wiring.Component):
    """Round robin over streams of one shape, without a register between.

    A beat that is offered and not taken stays offered, whoever else asks meanwhile. One who asks is served when at most
    each of the others has been served once. ``rtl/proofs/arbiter.py`` proves what is said here, for ever.

    Attributes:
        asks: Streams in.
        chosen: The beat of one of them, in the same cycle.
        behind: Of every stream, whether it stands behind the one served last.
        stays: Whether what was offered in the cycle before was not taken.
        last: Who was offered in the cycle before.
    """

    asks: Sequence[stream.Interface]
    chosen: stream.Interface

    def __init__(self, shape: ShapeLike, count: int) -> None:
        """Beats of this shape, from ``count`` streams."""
        beats = stream.Signature(shape)
        super().__init__({"asks": In(beats).array(count), "chosen": Out(beats)})
        self.behind = Signal(count)
        self.stays = Signal()
        self.last = Signal(range(count))

    def elaborate(self, platform: object) -> Module:
        """The one that was offered before, or the lowest of those behind the one served last, or the lowest of all."""
        m = Module()
        valid, waiting = Signal(len(self.asks)), Signal(len(self.asks))
        one = Signal(range(len(self.asks)))
        m.d.comb += [
            valid.eq(Cat(side.valid for side in self.asks)),
            waiting.eq(Mux((valid & self.behind).any(), valid & self.behind, valid)),
        ]
        for k in reversed(range(len(self.asks))):
            with m.If(waiting[k]):
                m.d.comb += one.eq(k)
        with m.If(self.stays):
            m.d.comb += one.eq(self.last)
        payload = pick([side.payload for side in self.asks], one)
        m.d.comb += [self.chosen.valid.eq(valid.any()), self.chosen.payload.eq(payload)]
        for k, side in enumerate(self.asks):
            m.d.comb += side.ready.eq(self.chosen.ready & (one == k))
        m.d.sync += [self.last.eq(one), self.stays.eq(self.chosen.valid & ~self.chosen.ready)]
        with m.If(self.chosen.valid & self.chosen.ready):
            m.d.sync += self.behind.eq(~((2 << one) - 1))
        return m
