"""The output: shares of the sum of a query's powers times rows of V, a key a cycle.

All waits where the row that is made is not taken; only then the next query begins.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from siloom.rtl.beside import after
from siloom.rtl.lanes import lanes
from siloom.rtl.machines._a3_size import Size
from siloom.rtl.machines._a3_turn import Turn
from siloom.rtl.units.share_sum import ShareSum


class Output(wiring.Component):
    """The module.

    Attributes:
        value: A row of V that is written.
        found: A power that is written.
        i: Queries whose powers are all there.
        o: Rows of the output.
    """

    value: Any
    found: Any
    i: stream.Interface
    o: stream.Interface

    def __init__(self, size: Size) -> None:
        self._size = size
        super().__init__(
            {
                "value": In(size.row_write),
                "found": In(size.power_write),
                "i": In(stream.Signature(size.weighed)),
                "o": Out(stream.Signature(size.row)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Powers are read, then their rows of V, then both are worked on."""
        m = Module()
        size = self._size
        m.submodules.share = share = ShareSum(size.units.share)
        turn = Turn(m, self.i, self.o)
        query: Any = Signal(size.weighed)
        slot, ordinal, goes = Signal(size.power_slot), Signal(size.number), Signal()
        room, room_behind, reads, reads_row = Signal(), Signal(), Signal(), Signal()
        there, weighs = Signal(), Signal()
        ends: Any = data.StructLayout({"clear": 1, "last": 1})
        first, second = Signal(ends, name="of_power"), Signal(ends, name="of_row")
        power = Signal(size.power)
        m.d.comb += [
            room_behind.eq(~weighs | share.i.ready),
            room.eq(~there | room_behind),
            reads.eq(goes & room),
            reads_row.eq(there & room_behind),
        ]
        with m.If(room):
            m.d.sync += there.eq(reads)
        with m.If(room_behind):
            m.d.sync += weighs.eq(there)
        with m.If(reads):
            last = ordinal == query.last
            m.d.sync += [first.clear.eq(~ordinal.any()), first.last.eq(last), goes.eq(~last), ordinal.eq(ordinal + 1)]
        with m.If(turn.leaves):
            m.d.sync += slot.eq(after(slot, size.power_slots))
        with m.If(turn.takes):
            m.d.sync += [query.eq(self.i.payload), goes.eq(1), ordinal.eq(0)]

        entries = Memory(shape=size.power_entry, depth=1 << (size.number_bits + len(slot)), init=[])
        rows = Memory(shape=size.row, depth=1 << size.number_bits, init=[])
        m.submodules.powers, m.submodules.values = entries, rows
        write, read = entries.write_port(), entries.read_port()
        write_row, read_row = rows.write_port(), rows.read_port()
        m.d.comb += [
            write.en.eq(self.found.valid),
            write.addr.eq(Cat(self.found.ordinal, self.found.slot)),
            write.data.eq(self.found.entry),
            read.en.eq(reads),
            read.addr.eq(Cat(ordinal, slot)),
            write_row.en.eq(self.value.valid),
            write_row.addr.eq(self.value.at),
            write_row.data.eq(self.value.row),
            read_row.en.eq(reads_row),
            read_row.addr.eq(read.data.key),
        ]
        with m.If(reads_row):
            m.d.sync += [second.eq(first), power.eq(read.data.power)]
        m.d.comb += [
            share.i.valid.eq(weighs),
            share.i.p.power.eq(power),
            share.i.p.total.eq(query.total),
            Cat(*lanes(share.i.p.value)).eq(read_row.data.as_value()),
            share.i.p.clear.eq(second.clear),
            share.i.p.last.eq(second.last),
            turn.done.eq(share.o.valid),
            share.o.ready.eq(self.o.ready),
            self.o.payload.as_value().eq(Cat(*lanes(share.o.p.sum))),
        ]
        return m
