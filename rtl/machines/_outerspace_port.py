"""The tile's one memory port: who asks, in which order, and to whom an answer belongs.

One request goes out in a cycle, from a register. Reads come first and writes wait in a buffer, until it is full;
then a write comes first. The bursts of a block go out one behind the other. A *swap* is a read and the write of one
word of the same burst behind it, with nothing in between: the two are as one step to everybody.

The memory answers in the order of its requests, so a queue of askers says whose each answer is. Answers cannot be
refused: whoever asks has room. Only the last burst of a block for the shared cache may be held back a cycle.

It does not look for reads of what still waits in the write buffer: its users wait until the buffer is empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO, SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from siloom.rtl.machines._outerspace_pack import burst_layout
from siloom.rtl.machines._outerspace_size import PIPELINE, WORD_BITS, TileSize
from siloom.rtl.turns import Turns

READERS = 3
"""Streams that are read ahead: A's pointers, B's, and A; they take turns."""


def swap_layout(size: TileSize) -> data.StructLayout:
    """A burst's number, a word of it, and what is written there."""
    return data.StructLayout({"number": size.burst_bits, "word": range(size.burst_words), "value": WORD_BITS})


class MemoryPort(wiring.Component):
    """Requests of a whole tile.

    Attributes:
        req: Requests to memory: burst, write, data, words to write.
        rsp: Answers.
        reads: For each stream that is read ahead, the numbers of bursts.
        blocks: The numbers of blocks: of the shared cache first, then of each merging PE.
        swaps: What is to be swapped.
        writes: Bursts to be written.
        burst: The burst that has come; ``for_read`` or ``for_swap`` says to whom, in that cycle.
        block: The block that has come; ``for_block`` says to whom.
        hold: High: the shared cache cannot take a block in this cycle.
        written: No write waits.
        idle: No request waits and no answer is to come.
    """

    req: stream.Interface
    rsp: stream.Interface
    reads: Sequence[stream.Interface]
    blocks: Sequence[stream.Interface]
    swaps: stream.Interface
    writes: stream.Interface
    burst: Signal
    block: Signal
    for_read: Signal
    for_swap: Signal
    for_block: Signal
    hold: Signal
    written: Signal
    idle: Signal

    def __init__(self, size: TileSize) -> None:
        """As many askers as the tile has."""
        self.size = size
        askers = 1 + size.mergers
        super().__init__(
            {
                "req": Out(stream.Signature(size.request_bits)),
                "rsp": In(stream.Signature(size.burst_words * WORD_BITS)),
                "reads": In(stream.Signature(size.burst_bits)).array(READERS),
                "blocks": In(stream.Signature(size.block_bits)).array(askers),
                "swaps": In(stream.Signature(swap_layout(size))),
                "writes": In(stream.Signature(burst_layout(size.burst_words))),
                "burst": Out(size.burst_words * WORD_BITS),
                "block": Out(size.block_words * WORD_BITS),
                "for_read": Out(READERS),
                "for_swap": Out(1),
                "for_block": Out(askers),
                "hold": In(1),
                "written": Out(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Choose, register, remember who asked; hand out what comes."""
        m = Module()
        size = self.size
        askers = READERS + 1 + len(self.blocks)
        m.submodules.buffer = buffer = SyncFIFOBuffered(
            width=len(self.writes.payload.as_value()), depth=size.design.write_buffer_bursts + 1
        )
        m.submodules.askers = waiting = SyncFIFO(width=askers + 1, depth=size.latency + PIPELINE + 2 * size.bursts)
        m.d.comb += [
            buffer.w_data.eq(self.writes.payload.as_value()),
            buffer.w_en.eq(self.writes.valid),
            self.writes.ready.eq(buffer.w_rdy),
            self.written.eq(buffer.level == 0),
            self.idle.eq(~self.req.valid & self.written & (waiting.level == 0)),
        ]
        self._ask(m, buffer, waiting)
        self._answer(m, waiting)
        return m

    def _ask(self, m: Module, buffer: SyncFIFOBuffered, waiting: SyncFIFO) -> None:
        size = self.size
        free, room, full = Signal(), Signal(), Signal()
        m.d.comb += [
            free.eq(~self.req.valid | self.req.ready),
            room.eq(waiting.w_rdy),
            full.eq(~buffer.w_rdy),
        ]
        number, write = Signal(size.burst_bits), Signal()
        words, mask = Signal(size.burst_words * WORD_BITS), Signal(size.burst_words)
        goes, asker, last = Signal(), Signal(READERS + 1 + len(self.blocks)), Signal(init=1)
        part = Signal(range(size.bursts))  # of a block that is being asked for
        asks = Signal(range(len(self.blocks)))  # who asked for it
        swapping = Signal()
        swap = self.swaps.p
        store: Any = data.View(burst_layout(size.burst_words), buffer.r_data)

        m.submodules.turns = turns = Turns(data.StructLayout({"number": size.burst_bits, "asker": READERS}), READERS)
        ahead = turns.chosen.p
        for k, side in enumerate(self.reads):
            m.d.comb += [
                turns.asks[k].p.number.eq(side.payload), turns.asks[k].p.asker.eq(1 << k),
                turns.asks[k].valid.eq(side.valid), side.ready.eq(turns.asks[k].ready),
            ]  # fmt: skip

        def read(which: int, at: Any) -> None:
            m.d.comb += [goes.eq(room), number.eq(at), asker.eq(1 << which)]

        def fetch(k: int) -> None:
            block = self.blocks[k]
            read(READERS + 1 + k, Cat(part, block.payload) if size.bursts > 1 else block.payload)
            m.d.comb += [last.eq(part == size.bursts - 1), block.ready.eq(free & room & last)]
            with m.If(free & room):
                m.d.sync += [part.eq(Mux(last, 0, part + 1)), asks.eq(k)]

        def store_one() -> None:
            m.d.comb += [
                goes.eq(1), write.eq(1), number.eq(store.number), words.eq(store.words), mask.eq(store.mask),
                buffer.r_en.eq(free),
            ]  # fmt: skip

        with m.If(swapping):
            m.d.comb += [
                goes.eq(1), write.eq(1), number.eq(swap.number), words.eq(swap.value.replicate(size.burst_words)),
                mask.eq(Const(1, size.burst_words) << swap.word), self.swaps.ready.eq(free),
            ]  # fmt: skip
            with m.If(free):
                m.d.sync += swapping.eq(0)
        with m.Elif(part != 0), m.Switch(asks):
            for k in range(len(self.blocks)):
                with m.Case(k):
                    fetch(k)
        with m.Elif(full & buffer.r_rdy):
            store_one()
        with m.Elif(self.swaps.valid):
            read(READERS, swap.number)
            with m.If(free & room):
                m.d.sync += swapping.eq(1)
        for k, block in enumerate(self.blocks):
            with m.Elif(block.valid):
                fetch(k)
        with m.Elif(turns.chosen.valid):
            m.d.comb += [
                goes.eq(room),
                number.eq(ahead.number),
                asker.eq(ahead.asker),
                turns.chosen.ready.eq(free & room),
            ]
        with m.Elif(buffer.r_rdy):
            store_one()

        m.d.comb += [waiting.w_data.eq(Cat(asker, last)), waiting.w_en.eq(free & goes & ~write)]
        with m.If(free):
            m.d.sync += self.req.valid.eq(goes)
            with m.If(goes):
                m.d.sync += self.req.payload.eq(Cat(number, write, words, mask))

    def _answer(self, m: Module, waiting: SyncFIFO) -> None:
        size = self.size
        wide = size.burst_words * WORD_BITS
        asker, last = waiting.r_data[:-1], waiting.r_data[-1]
        comes, refused = Signal(), Signal()
        m.d.comb += [
            refused.eq(self.hold & asker[READERS + 1] & last),
            self.rsp.ready.eq(waiting.r_rdy & ~refused),
            comes.eq(self.rsp.valid & self.rsp.ready),
            waiting.r_en.eq(comes),
            self.burst.eq(self.rsp.payload),
            self.for_read.eq(Mux(comes, asker[:READERS], 0)),
            self.for_swap.eq(comes & asker[READERS]),
            self.for_block.eq(Mux(comes & last, asker[READERS + 1 :], 0)),
        ]
        held = Signal(wide * (size.bursts - 1))
        m.d.comb += self.block.eq(Cat(held, self.rsp.payload))
        with m.If(comes & asker[READERS + 1 :].any()):
            m.d.sync += held.eq(self.block[wide:])
