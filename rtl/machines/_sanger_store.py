"""A memory of operands for several heads: one is filled from a stream while others are read."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Elaboratable, Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.memory import Memory

from siloom.rtl.machines._sanger_layouts import word_layout


class Store(Elaboratable):
    """``heads`` places of ``depth`` words, taken in turn by who fills them and by who reads.

    Attributes:
        i: Stream in: words, the last one of a head marked.
        full: High: the head that is filled has all its words, counting one that comes in this cycle.
        filled: In: that head is handed over; the next one may come.
        turn: In: whoever reads turns to the next head.
        at: In: address in the head that is read.
        word: The word, a cycle later.
    """

    def __init__(self, shape: Any, lanes: int, depth: int, heads: int) -> None:
        self.depth, self.heads = depth, heads
        self.i: Any = stream.Signature(word_layout(shape, lanes)).flip().create()
        self.full: Any = Signal()
        self.filled: Any = Signal()
        self.turn: Any = Signal()
        self.at: Any = Signal(range(max(2, depth)))
        self.word: Any = Signal(data.ArrayLayout(shape, lanes))

    def elaborate(self, platform: object) -> Module:
        """One port for each side."""
        m = Module()
        depth, end = self.depth, self.depth * (self.heads - 1)
        m.submodules.memory = memory = Memory(shape=self.word.shape(), depth=depth * self.heads, init=[])
        write, read = memory.write_port(), memory.read_port()
        write_base, read_base = Signal(range(end + 1)), Signal(range(end + 1), init=end)
        here, held = Signal(range(max(2, depth))), Signal()
        moves = Signal()
        m.d.comb += [
            self.i.ready.eq(~held),
            moves.eq(self.i.valid & self.i.ready),
            self.full.eq(held | (moves & self.i.p.last)),
            write.en.eq(moves),
            write.addr.eq(write_base + here),
            write.data.eq(self.i.p.word),
            read.addr.eq(read_base + self.at),
            self.word.eq(read.data),
        ]
        with m.If(moves):
            m.d.sync += [here.eq(here + 1), held.eq(self.i.p.last)]
        with m.If(self.filled):
            m.d.sync += [here.eq(0), held.eq(0), write_base.eq(Mux(write_base == end, 0, write_base + depth))]
        with m.If(self.turn):
            m.d.sync += read_base.eq(Mux(read_base == end, 0, read_base + depth))
        return m
