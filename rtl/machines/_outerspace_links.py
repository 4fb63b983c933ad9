"""Chunks linked into the lists of their rows, in the order in which they were handed out.

The head of a row's list in memory is swapped for the new chunk's address; what it was before, zero or the address of
the chunk that was linked last, is the new chunk's own link and goes to the PE that writes the chunk.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from siloom.rtl.machines._outerspace_port import swap_layout
from siloom.rtl.machines._outerspace_size import (
    HEAD_WORDS,
    PLACE_BITS,
    ROW_BITS,
    WORD_BITS,
    TileSize,
    log2,
)
from siloom.rtl.pick import pick

WAITING = 4


class Links(wiring.Component):
    """The tile's linker.

    Attributes:
        room: A chunk may be handed out.
        given: High: the chunk at the word ``chunk`` is handed out to the PE ``to``; its list is ``row``'s.
        chunk: See ``given``.
        row: See ``given``.
        to: See ``given``.
        lists: Where lists begin; constant while chunks are linked.
        swaps: Swaps out.
        came: A swap has read ``burst``.
        burst: See ``came``.
        link: For each PE, high: ``linked`` is the link of its oldest chunk without one.
        linked: See ``link``.
        idle: Nothing is on its way.
    """

    room: Signal
    given: Signal
    chunk: Signal
    row: Signal
    to: Signal
    lists: Signal
    swaps: stream.Interface
    came: Signal
    burst: Signal
    link: Signal
    linked: Signal
    idle: Signal

    def __init__(self, size: TileSize) -> None:
        """PEs of this tile."""
        self.size = size
        super().__init__(
            {
                "room": Out(1),
                "given": In(1),
                "chunk": In(PLACE_BITS),
                "row": In(ROW_BITS),
                "to": In(range(size.pes)),
                "lists": In(PLACE_BITS),
                "swaps": Out(stream.Signature(swap_layout(size))),
                "came": In(1),
                "burst": In(size.burst_words * WORD_BITS),
                "link": Out(size.pes),
                "linked": Out(WORD_BITS),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """One queue for what is to be swapped, one for what is to come."""
        m = Module()
        size, inner = self.size, log2(self.size.burst_words)
        asked = data.StructLayout({"head": PLACE_BITS, "chunk": PLACE_BITS, "to": range(size.pes)})
        awaited = data.StructLayout({"word": range(size.burst_words), "to": range(size.pes)})
        m.submodules.waiting = waiting = SyncFIFO(width=asked.size, depth=WAITING)
        m.submodules.coming = coming = SyncFIFO(width=awaited.size, depth=size.pes * size.links)
        first: Any = data.View(asked, waiting.r_data)
        oldest: Any = data.View(awaited, coming.r_data)
        swapped = Signal()
        m.d.comb += [
            self.room.eq(waiting.w_rdy),
            waiting.w_data.eq(Cat((self.lists + self.row * HEAD_WORDS)[:PLACE_BITS], self.chunk, self.to)),
            waiting.w_en.eq(self.given),
            self.swaps.valid.eq(waiting.r_rdy),
            self.swaps.p.number.eq(first.head[inner:]),
            self.swaps.p.word.eq(first.head[:inner]),
            self.swaps.p.value.eq(Cat(Const(0, 2), first.chunk)),
            swapped.eq(self.swaps.valid & self.swaps.ready),
            waiting.r_en.eq(swapped),
            coming.w_data.eq(Cat(first.head[:inner], first.to)),
            coming.w_en.eq(swapped),
            coming.r_en.eq(self.came),
            self.linked.eq(
                pick([self.burst[k : k + WORD_BITS] for k in range(0, len(self.burst), WORD_BITS)], oldest.word)
            ),
            self.link.eq(Mux(self.came, 1 << oldest.to, 0)),
            self.idle.eq(~waiting.r_rdy & ~coming.r_rdy),
        ]
        return m
