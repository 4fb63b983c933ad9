"""What stands below a column of a systolic array: an adder, a memory of unfinished sums, a queue for finished ones.

Sums of a cut k are added as they come, one a cycle: the first fold's are written, the next folds' are read, added
to and written back, the last fold's leave. The place of a sum is its row in the fold. It is told two cycles before
the sum comes: one for the memory to be read, which is slow, and one for what it held to stand in a register.

The queue is a :class:`Passing`: while it is full the whole array must stop, which it is told by ``room``.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from siloom.rtl.float_sum import sum_of_codes
from siloom.rtl.machines._systolic_size import ArraySize
from siloom.rtl.passing import Passing
from siloom.sim.units.systolic_float_cell import SystolicFloatCell


class Column(Component):
    """What becomes of the sums of one column.

    Attributes:
        run: In: whether the array moves.
        valid: In: whether a sum stands at the lower edge.
        sum: In: the sum.
        room: Out: whether one more finished sum can be kept.
        o: Stream out: finished sums.

    Where sums may be unfinished, also:
        closes: In: whether this is the last part of its sum of C.
        next_opens: In: whether what comes with the array's next move is the first part.
        place: In: where the sum belongs that comes with the move after the next, if one does.
        next_place: Out: where that belongs which comes with the next.
    """

    run: Any
    valid: Any
    sum: Any
    room: Any
    o: Any
    closes: Any
    next_opens: Any
    place: Any
    next_place: Any

    def __init__(self, size: ArraySize) -> None:
        """Make the ports."""
        self.size = size
        bits = size.sum_bits
        places = range(size.depth)
        parts = {"closes": In(1), "next_opens": In(1), "place": In(places), "next_place": Out(places)}
        ports = {"run": In(1), "valid": In(1), "sum": In(bits), "room": Out(1), "o": Out(stream.Signature(bits))}
        super().__init__(ports | (parts if size.depth else {}))

    def elaborate(self, platform: object) -> Module:
        """The adder, between memory and queue."""
        m = Module()
        total, finished = (self._total(m), self.closes) if self.size.depth else (self.sum, 1)
        m.submodules.queue = queue = Passing(self.size.sum_bits)
        m.d.comb += [
            queue.comes.eq(self.run & self.valid & finished),
            queue.i.eq(total),
            self.room.eq(queue.room),
            self.o.valid.eq(queue.o.valid),
            self.o.payload.eq(queue.o.payload),
            queue.o.ready.eq(self.o.ready),
        ]
        return m

    def _total(self, m: Module) -> Signal:
        """The sum with what the memory holds of it, which is kept there unless it is finished."""
        m.submodules.unfinished = memory = Memory(shape=self.size.sum_bits, depth=self.size.depth, init=[])
        write = memory.write_port()
        read = memory.read_port(transparent_for=(write,))
        total, before = Signal.like(self.sum), Signal.like(self.sum)
        here, there = Signal(range(self.size.depth)), self.next_place
        kept = self.valid & ~self.closes
        m.d.comb += [
            read.addr.eq(self.place),
            read.en.eq(self.run),
            total.eq(self._add(m, before, self.sum)),
            write.addr.eq(here),
            write.data.eq(total),
            write.en.eq(self.run & kept),
        ]
        with m.If(self.run):
            m.d.sync += [there.eq(self.place), here.eq(there)]
            # What is written at this moment was read too early.
            held = Mux(kept & (here == there), total, read.data)
            m.d.sync += before.eq(Mux(self.next_opens, 0, held))
        return total

    def _add(self, m: Module, before: Any, part: Any) -> Any:
        cell = self.size.cell
        if isinstance(cell, SystolicFloatCell):
            return sum_of_codes(m, before, part, cell.accumulator, cell.saturate)
        return before + part
