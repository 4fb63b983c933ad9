"""A list in memory read ahead, item by item: bursts are asked for in order while there is room for them."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from siloom.rtl.machines._outerspace_size import PLACE_BITS, READ_AHEAD, WORD_BITS, TileSize, log2
from siloom.rtl.machines._outerspace_unpack import Unpack, item_layout


class Read(wiring.Component):
    """One list at a time.

    Attributes:
        begin: High for a cycle: a list of ``count`` items from the word ``place`` on.
        place: See ``begin``.
        count: See ``begin``.
        asks: Numbers of bursts.
        came: ``burst`` is the next of them.
        burst: See ``came``.
        items: Items out.
    """

    begin: Signal
    place: Signal
    count: Signal
    asks: stream.Interface
    came: Signal
    burst: Signal
    items: stream.Interface

    def __init__(self, size: TileSize, item_words: int) -> None:
        """Words of an item, fewer than a burst has."""
        self.size, self.item_words = size, item_words
        wide = size.burst_words * WORD_BITS
        super().__init__(
            {
                "begin": In(1),
                "place": In(PLACE_BITS),
                "count": In(PLACE_BITS),
                "asks": Out(stream.Signature(size.burst_bits)),
                "came": In(1),
                "burst": In(wide),
                "items": Out(stream.Signature(item_layout(item_words))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """As many bursts are asked for as the list touches."""
        m = Module()
        inner = log2(self.size.burst_words)
        m.submodules.unpack = unpack = Unpack(self.size.burst_words, self.item_words)
        m.submodules.bursts = bursts = SyncFIFO(width=len(self.burst), depth=READ_AHEAD)
        number, left, used = Signal(self.size.burst_bits), Signal(self.size.burst_bits), Signal(range(READ_AHEAD + 1))
        asked, taken = Signal(), Signal()
        end = self.place[:inner] + self.count * self.item_words
        m.d.comb += [
            unpack.begin.eq(self.begin),
            unpack.offset.eq(self.place),
            unpack.count.eq(self.count),
            self.asks.valid.eq((left != 0) & (used != READ_AHEAD)),
            self.asks.payload.eq(number),
            asked.eq(self.asks.valid & self.asks.ready),
            bursts.w_data.eq(self.burst),
            bursts.w_en.eq(self.came),
            unpack.blocks.payload.eq(bursts.r_data),
            unpack.blocks.valid.eq(bursts.r_rdy),
            bursts.r_en.eq(unpack.blocks.ready),
            taken.eq(bursts.r_rdy & bursts.r_en),
        ]
        wiring.connect(m, unpack.items, wiring.flipped(self.items))
        m.d.sync += used.eq(used + asked - taken)
        with m.If(asked):
            m.d.sync += [number.eq(number + 1), left.eq(left - 1)]
        with m.If(self.begin):
            m.d.sync += [
                number.eq(self.place[inner:]),
                left.eq((end + self.size.burst_words - 1)[inner:]),
            ]
        return m
