"""Up to four neighbouring words out of memory through a private bank of the cache.

A block that is there gives its words in the next cycle; one that is not is asked of memory, and the words are taken
off the block as it comes. Words that straddle two blocks are two lookups, one after the other. Nothing is read ahead.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from siloom.rtl.machines._outerspace_size import PLACE_BITS, WORD_BITS, TileSize, log2

MOST = 4
"""Words: a link and an element."""


class Load(wiring.Component):
    """Loads, one at a time.

    Attributes:
        begin: High: load ``count`` words from ``place`` on; looked up in this cycle. Only while nothing is loaded.
        place: See ``begin``.
        count: See ``begin``.
        ends: In the cycle before the words are there.
        words: What was loaded; it stays until the next load ends.
        coming: The words as they will be, while ``ends``.
        look, block, hit, found: A lookup in the bank, and what it says; see the cache.
        fetch: A block that memory must give.
        came: ``fetched`` is that block.
        fetched: See ``came``.
    """

    begin: Signal
    place: Signal
    count: Signal
    ends: Signal
    words: data.View[data.ArrayLayout]
    coming: data.View[data.ArrayLayout]
    look: Signal
    block: Signal
    hit: Signal
    found: Signal
    fetch: stream.Interface
    came: Signal
    fetched: Signal

    def __init__(self, size: TileSize) -> None:
        """Blocks of this tile."""
        self.size = size
        wide = size.block_words * WORD_BITS
        words = data.ArrayLayout(WORD_BITS, MOST)
        super().__init__(
            {
                "begin": In(1),
                "place": In(PLACE_BITS),
                "count": In(range(MOST + 1)),
                "ends": Out(1),
                "words": Out(words),
                "coming": Out(words),
                "look": Out(1),
                "block": Out(size.block_bits),
                "hit": In(1),
                "found": In(wide),
                "fetch": Out(stream.Signature(size.block_bits)),
                "came": In(1),
                "fetched": In(wide),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Words are turned to the front of the block, and those that it has are kept."""
        m = Module()
        wide, inner = self.size.block_words, log2(self.size.block_words)
        at, upto = Signal(range(wide)), Signal(range(wide + MOST))  # in the first block
        block, second, more = Signal(self.size.block_bits), Signal(), Signal()
        have, source = Signal(), Signal(wide * WORD_BITS)
        m.d.comb += more.eq((upto > wide) & ~second)

        turned = Signal(MOST * WORD_BITS)
        with m.Switch(at):
            for k in range(wide):
                with m.Case(k):
                    twice = Cat(source, source)
                    m.d.comb += turned.eq(twice[k * WORD_BITS : (k + MOST) * WORD_BITS])
        for k in range(MOST):
            past = at + k >= wide  # of the second block
            kept = Mux(second & ~past, self.words[k], turned[k * WORD_BITS : (k + 1) * WORD_BITS])
            m.d.comb += self.coming[k].eq(kept)
        with m.If(have):
            m.d.sync += [self.words.eq(self.coming), second.eq(1)]
        m.d.comb += self.ends.eq(have & ~more)

        def look(number: object) -> None:
            m.d.comb += [self.look.eq(1), self.block.eq(number)]
            m.d.sync += block.eq(number)
            with m.If(self.hit):
                m.next = "take"
            with m.Else():
                m.next = "ask"

        with m.FSM():
            with m.State("rest"), m.If(self.begin):
                m.d.sync += [
                    at.eq(self.place[:inner]),
                    upto.eq(self.place[:inner] + self.count),
                    second.eq(0),
                ]
                look(self.place[inner:])
            with m.State("take"):
                m.d.comb += [have.eq(1), source.eq(self.found)]
                m.next = "rest"
                with m.If(more):
                    m.next = "second"
            with m.State("ask"):
                m.d.comb += [self.fetch.valid.eq(1), self.fetch.payload.eq(block)]
                with m.If(self.fetch.ready):
                    m.next = "wait"
            with m.State("wait"):
                m.d.comb += [have.eq(self.came), source.eq(self.fetched)]
                with m.If(self.came):
                    m.next = "rest"
                    with m.If(more):
                        m.next = "second"
            with m.State("second"):
                look(block + 1)
        return m
