"""The controller while the tile merges: rows that have a list, in order, and where each of them will lie.

A bit for each row is set when a chunk is linked into its list, so that rows without one are passed over, a cycle each;
the bits are cleared on the way. When a row is handed out, whoever takes it says where it will begin: that is the row's
pointer, in bytes. Rows that nobody takes have the pointer zero. Pointers are written in order, a burst at a time.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from siloom.rtl.machines._outerspace_pack import burst_layout
from siloom.rtl.machines._outerspace_size import PLACE_BITS, ROW_BITS, WORD_BITS, TileSize, log2

ROW = data.StructLayout({"row": ROW_BITS})
WAITING = 4
"""Rows that were handed out and whose pointers wait to be put in order."""


class Rows(wiring.Component):
    """The walk over rows.

    Attributes:
        mark: High: ``marked`` has a list.
        marked: See ``mark``.
        begin: High for a cycle: walk over ``count`` rows, their pointers from the word ``pointers`` on.
        count: Constant while it walks, as ``pointers``; the first pointer begins a burst.
        pointers: See ``count``.
        work: Rows out.
        room: A row may be handed out.
        given: High: the row ``number`` is handed out and will begin at the word ``place``.
        number: See ``given``.
        place: See ``given``.
        rests: No row is on its way between ``work`` and ``given``.
        stores: Bursts out.
        done: All rows were handed out and all pointers have left.
    """

    mark: Signal
    marked: Signal
    begin: Signal
    count: Signal
    pointers: Signal
    work: stream.Interface
    room: Signal
    given: Signal
    number: Signal
    place: Signal
    rests: Signal
    stores: stream.Interface
    done: Signal

    def __init__(self, size: TileSize) -> None:
        """Bursts of this tile."""
        self.size = size
        super().__init__(
            {
                "mark": In(1),
                "marked": In(ROW_BITS),
                "begin": In(1),
                "count": In(ROW_BITS + 1),
                "pointers": In(PLACE_BITS),
                "work": Out(stream.Signature(ROW)),
                "room": Out(1),
                "given": In(1),
                "number": In(ROW_BITS),
                "place": In(PLACE_BITS),
                "rests": In(1),
                "stores": Out(stream.Signature(burst_layout(size.burst_words))),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """One counter looks for rows, another one behind it writes pointers."""
        m = Module()
        m.submodules.lists = lists = Memory(shape=1, depth=1 << ROW_BITS, init=[])
        read, write = lists.read_port(domain="comb"), lists.write_port()
        at, walks, active = Signal(ROW_BITS + 1), Signal(), Signal()
        found, passes = Signal(), Signal()
        m.d.comb += [
            read.addr.eq(at),
            walks.eq(active & (at != self.count)),
            found.eq(read.data),
            self.work.valid.eq(walks & found),
            self.work.p.row.eq(at),
            passes.eq(walks & (~found | self.work.ready)),
            write.addr.eq(Mux(self.mark, self.marked, at)),
            write.data.eq(self.mark),
            write.en.eq(self.mark | passes),
        ]
        with m.If(passes):
            m.d.sync += at.eq(at + 1)
        behind = self._write(m, active, ~walks & self.rests)
        m.d.comb += self.done.eq(~walks & self.rests & ((behind == self.count) | ~active) & ~self.stores.valid)
        with m.If(self.begin):
            m.d.sync += [at.eq(0), behind.eq(0), active.eq(1)]
        with m.Elif(self.done):
            m.d.sync += active.eq(0)
        return m

    def _write(self, m: Module, active: Signal, all_given: Any) -> Signal:
        """Put pointers in order. Returns the rows whose pointers were."""
        size, inner = self.size, log2(self.size.burst_words)
        taken = data.StructLayout({"row": ROW_BITS, "place": PLACE_BITS})
        m.submodules.taken = queue = SyncFIFO(width=taken.size, depth=WAITING)
        first: Any = data.View(taken, queue.r_data)
        behind = Signal(ROW_BITS + 1)
        words, mask = Signal(size.burst_words * WORD_BITS), Signal(size.burst_words)
        number, full, moves, mine = Signal(size.burst_bits), Signal(), Signal(), Signal()
        m.d.comb += [
            self.room.eq(queue.w_rdy),
            queue.w_data.eq(Cat(self.number, self.place)),
            queue.w_en.eq(self.given),
            mine.eq(queue.r_rdy & (first.row == behind)),
            moves.eq(active & (behind != self.count) & (queue.r_rdy | all_given) & (~full | self.stores.ready)),
            queue.r_en.eq(moves & mine),
            self.stores.valid.eq(full),
            self.stores.p.number.eq(number),
            self.stores.p.words.eq(words),
            self.stores.p.mask.eq(mask),
        ]
        lane = behind[:inner]
        with m.If(full & self.stores.ready):
            m.d.sync += full.eq(0)
        with m.If(moves):
            m.d.sync += [
                words.word_select(lane, WORD_BITS).eq(Mux(mine, Cat(Const(0, 2), first.place), 0)),
                mask.eq(Mux(lane == 0, 0, mask) | Const(1, size.burst_words) << lane),
                number.eq(self.pointers[inner:] + behind[inner:]),
                behind.eq(behind + 1),
                full.eq((lane == size.burst_words - 1) | (behind + 1 == self.count)),
            ]
        return behind
