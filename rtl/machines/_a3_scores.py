"""The scores of the queries in flight, in banks: post-scoring looks at some a cycle, exponents take one a cycle."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from siloom.rtl.machines._a3_size import Size
from siloom.rtl.pick import pick


class Scores(wiring.Component):
    """The memory; a score's bank is what the lowest bits of its ordinal say. Without post-scoring there is one bank.

    Attributes:
        found: A score that is written.
        looked_slot: Of which query some scores are ``seen`` in this cycle.
        looked_group: Which of them.
        seen: By bank.
        fetches: A score and its key are read, to be ``fetched`` in the next cycle.
        fetched_slot: Of which query.
        fetched_ordinal: Which one.
    """

    found: Any
    looked_slot: Signal
    looked_group: Signal
    fetches: Signal
    fetched_slot: Signal
    fetched_ordinal: Signal
    fetched: Any

    def __init__(self, size: Size) -> None:
        self._size = size
        looks = {
            "looked_slot": In(size.slot),
            "looked_group": In(size.group),
            "seen": Out(size.score).array(size.width),
        }
        super().__init__(
            {
                "found": In(size.score_write),
                "fetches": In(1),
                "fetched_slot": In(size.slot),
                "fetched_ordinal": In(size.number),
                "fetched": Out(size.score_entry),
            }
            | (looks if size.posts else {})
        )

    def elaborate(self, platform: object) -> Module:
        """The banks."""
        m = Module()
        size = self._size
        me: Any = self
        bits = size.width_bits if size.posts else 0
        words = size.number_bits - bits + len(self.fetched_slot)
        bank_fetched = Signal(max(1, bits))
        with m.If(self.fetches):
            m.d.sync += bank_fetched.eq(self.fetched_ordinal[:bits])
        entries = []
        for bank in range(1 << bits):
            memory = Memory(shape=size.score_entry, depth=1 << words, init=[])
            m.submodules[f"bank{bank}"] = memory
            write, read = memory.write_port(), memory.read_port()
            m.d.comb += [
                write.en.eq(self.found.valid & (self.found.ordinal[:bits] == bank)),
                write.addr.eq(Cat(self.found.ordinal[bits:], self.found.slot)),
                write.data.eq(self.found.entry),
                read.en.eq(self.fetches & (self.fetched_ordinal[:bits] == bank)),
                read.addr.eq(Cat(self.fetched_ordinal[bits:], self.fetched_slot)),
            ]
            entries.append(read.data)
            if size.posts:
                look = memory.read_port(domain="comb")
                m.d.comb += [
                    look.addr.eq(Cat(self.looked_group[: size.group_bits], self.looked_slot)),
                    me.seen[bank].eq(look.data.score),
                ]
        m.d.comb += self.fetched.as_value().eq(pick(entries, bank_fetched))
        return m
