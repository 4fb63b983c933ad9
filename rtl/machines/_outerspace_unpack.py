"""Items of a few words out of blocks of many: a window that moves over the block at hand.

An item that straddles two blocks keeps its first words in a tail until the second is there. One item goes
out in a cycle, without a gap between blocks; a block in which no item ends takes a cycle of its own. Nothing is
stored: the block at hand must stay valid until it is taken.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from siloom.rtl.machines._outerspace_size import PLACE_BITS, WORD_BITS


def item_layout(item_words: int) -> data.StructLayout:
    """An item, and whether it is its run's last one."""
    return data.StructLayout({"words": data.ArrayLayout(WORD_BITS, item_words), "last": 1})


class Unpack(wiring.Component):
    """A run of items at a time.

    Attributes:
        begin: High for a cycle: a run begins behind it, in place of what was left of the one before.
        offset: In that cycle, the word of the first block at which the first item begins.
        count: In that cycle, the items of the run.
        blocks: Blocks in, in order from the one that holds the first item's first word.
        items: Items out; with the last one the run's last block is taken.
        left: Items that have not gone out.
    """

    begin: Signal
    offset: Signal
    count: Signal
    blocks: stream.Interface
    items: stream.Interface
    left: Signal

    def __init__(self, block_words: int, item_words: int) -> None:
        """Words of a block and of an item, which is shorter."""
        self.block_words, self.item_words = block_words, item_words
        super().__init__(
            {
                "begin": In(1),
                "offset": In(range(block_words)),
                "count": In(PLACE_BITS),
                "blocks": In(stream.Signature(block_words * WORD_BITS)),
                "items": Out(stream.Signature(item_layout(item_words))),
                "left": Out(PLACE_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """The window begins ``kept`` words before the block, where the tail of the one before lies."""
        m = Module()
        kept = self.item_words - 1
        at = Signal(range(self.block_words + kept))
        tail = Signal(kept * WORD_BITS)
        window: Any = Cat(tail, self.blocks.payload)
        inside, moves, ends, after = Signal(), Signal(), Signal(), Signal(range(self.block_words + 2 * kept + 2))
        with m.Switch(at):
            for first in range(self.block_words):
                with m.Case(first):
                    words = window[first * WORD_BITS : (first + self.item_words) * WORD_BITS]
                    m.d.comb += self.items.p.words.as_value().eq(words)
        m.d.comb += [
            inside.eq(at < self.block_words),
            self.items.valid.eq((self.left != 0) & self.blocks.valid & inside),
            self.items.p.last.eq(self.left == 1),
            moves.eq(self.items.valid & self.items.ready),
            after.eq(Mux(inside, at + self.item_words, at)),
            ends.eq(after >= self.block_words),
            self.blocks.ready.eq((self.left != 0) & Mux(inside, moves & (ends | self.items.p.last), 1)),
        ]
        with m.If(moves):
            m.d.sync += [self.left.eq(self.left - 1), at.eq(after)]
        with m.If(self.blocks.valid & self.blocks.ready):
            m.d.sync += at.eq(after - self.block_words)
            if kept:
                m.d.sync += tail.eq(self.blocks.payload[-kept * WORD_BITS :])
        with m.If(self.begin):
            m.d.sync += [self.left.eq(self.count), at.eq(self.offset + kept)]
        return m
