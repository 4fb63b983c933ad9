"""Several streams of bursts into one: whoever was served waits until the others had their turn."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from siloom.rtl.machines._outerspace_pack import burst_layout
from siloom.rtl.machines._outerspace_size import TileSize


class Turns(wiring.Component):
    """Round robin.

    Attributes:
        asks: Bursts in.
        chosen: One of them, in the same cycle.
    """

    asks: Sequence[stream.Interface]
    chosen: stream.Interface

    def __init__(self, size: TileSize, count: int) -> None:
        """Bursts of this tile, from ``count`` streams."""
        burst = stream.Signature(burst_layout(size.burst_words))
        super().__init__({"asks": In(burst).array(count), "chosen": Out(burst)})

    def elaborate(self, platform: object) -> Module:
        """The lowest of those behind the one served last, or the lowest of all."""
        m = Module()
        valid, behind = Cat(side.valid for side in self.asks), Signal(len(self.asks))
        waiting = Signal(len(self.asks))
        m.d.comb += waiting.eq(Mux((valid & behind).any(), valid & behind, valid))
        for k, side in reversed(list(enumerate(self.asks))):
            first = waiting[k] & ~waiting[:k].any() if k else waiting[0]
            m.d.comb += side.ready.eq(first & self.chosen.ready)
            with m.If(first):
                m.d.comb += [self.chosen.valid.eq(1), self.chosen.payload.eq(side.payload)]
                with m.If(self.chosen.ready):
                    m.d.sync += behind.eq(~((2 << k) - 1))
        return m
