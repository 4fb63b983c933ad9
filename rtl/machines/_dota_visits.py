"""Rounds at work: a group's rounds are kept, and each brings its keys, then its values, to the rows that share them.

A part - a group's scores or its values - begins by fetching a key a cycle, in the rounds' order. Every row has a bank
of ``rounds_ahead`` places, so that a vector is written to all rows that own it at once and a round is read at once. A
round begins, in order, when all its keys have come and the one before is through, and gives back its place.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal
from amaranth.lib.memory import Memory

from siloom.rtl.beside import after
from siloom.rtl.machines._dota_layouts import lane, later, round_layout, vector_bits, visit_step
from siloom.rtl.machines._dota_size import BUFFERS, DotaSize
from siloom.rtl.pick import pick


class Visits(Elaboratable):
    """Rounds of up to four groups, and the part at work.

    Attributes:
        round, gives, ends, into: In: a round of group ``into``, see ``Select``.
        go: In: a part is at work: ``group`` and ``values``, In, say which.
        key_at: Out: the key or value that is fetched in this cycle.
        vector: In: what was fetched in the cycle before.
        step: Out: what the array is to do.
        begins: Out: with a round, which rows are at work in it.
        last: Out: the part's last step is issued in this cycle.
        vectors: Out: of each row, a cycle after a round's first step.
    """

    def __init__(self, size: DotaSize) -> None:
        self.size = size
        self.round: Any = Signal(round_layout(size))
        self.gives: Any = Signal()
        self.ends: Any = Signal()
        self.into: Any = Signal(BUFFERS.bit_length() - 1)
        self.go: Any = Signal()
        self.group: Any = Signal(BUFFERS.bit_length() - 1)
        self.values: Any = Signal()
        self.key_at: Any = Signal(size.key_bits)
        self.vector: Any = Signal(vector_bits(size))
        self.step: Any = Signal(visit_step(size))
        self.begins: Any = Signal(size.tokens)
        self.last: Any = Signal()
        self.vectors: Any = Signal(size.tokens * vector_bits(size))

    def elaborate(self, platform: object) -> Module:
        """Kept rounds, fetches, beginnings."""
        m = Module()
        size = self.size
        ahead = size.design.rounds_ahead
        number: Any = range(size.most_rounds + 1)
        fetched: Any = Signal(number)  # rounds whose keys have all been asked for
        place: Any = Signal(range(max(2, size.per_round)))  # in the round that is fetched
        begun: Any = Signal(number)
        slot, first_slot = Signal(range(max(2, ahead)), name="slot"), Signal(range(max(2, ahead)), name="first_slot")
        slice_: Any = Signal(range(max(2, size.each)), name="slice")

        current, stored, complete = self._kept(m, fetched)
        keys, owners = list(current.key), list(current.owners)
        key, owner = pick(keys, place), pick(owners, place)
        more = pick([*(following.any() for following in owners[1:]), Const(0, 1)], place)
        fetch, begin, busy, through = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            busy.eq(slice_ != 0),
            begin.eq(self.go & ~busy & (fetched != begun)),
            fetch.eq(self.go & (fetched != stored) & ((fetched - begun)[: len(fetched)] < ahead + begin)),
            through.eq((begin | busy) & (slice_ == size.each - 1)),
            self.key_at.eq(key),
            self.last.eq(through & complete & (begun + begin == stored)),
        ]
        waiting = [Signal(size.tokens, name=f"rows{n}") for n in range(ahead)]
        with m.If(fetch):
            m.d.sync += place.eq(Mux(more, place + 1, 0))
            with m.If(~more):
                m.d.sync += [fetched.eq(fetched + 1), slot.eq(after(slot, ahead))]
            for n in range(ahead):
                with m.If(slot == n):
                    m.d.sync += waiting[n].eq(Mux(place == 0, 0, waiting[n]) | owner)
        with m.If(begin):
            m.d.sync += [begun.eq(begun + 1), first_slot.eq(after(first_slot, ahead))]
        with m.If(begin | busy):
            m.d.sync += slice_.eq(Mux(through, 0, slice_ + 1))
        with m.If(self.last):
            m.d.sync += [fetched.eq(0), begun.eq(0), slot.eq(0), first_slot.eq(0)]

        owners_now: Any = Signal(size.tokens, name="owners_now")
        held: Any = Signal(size.tokens, name="owners_held")
        first_now, first_held = Signal(), Signal()
        m.d.comb += [
            owners_now.eq(Mux(begin, pick(waiting, first_slot) if ahead > 1 else waiting[0], held)),
            first_now.eq(Mux(begin, begun == 0, first_held)),
            self.begins.eq(Mux(begin, owners_now, 0)),
            self.step.valid.eq(begin | busy),
            self.step.values.eq(self.values),
            self.step.slice.eq(slice_),
            self.step.ends.eq(through),
            self.step.first.eq(first_now),
            self.step.owners.eq(owners_now),
            self.step.parity.eq(self.group[0]),
        ]
        m.d.sync += [held.eq(owners_now), first_held.eq(first_now)]
        comes, slot1, first1 = later(m, fetch, 1, "comes"), later(m, slot, 1, "into"), later(m, first_slot, 1, "from")
        rows1 = later(m, owner, 1, "rows")
        for t in range(size.tokens):
            memory = Memory(shape=vector_bits(size), depth=max(2, ahead), init=[])
            m.submodules[f"row{t}"] = memory
            write, read = memory.write_port(), memory.read_port(domain="comb")
            m.d.comb += [
                write.en.eq(comes & rows1[t]),
                write.addr.eq(slot1),
                write.data.eq(self.vector),
                read.addr.eq(first1),
                lane(self.vectors, t, vector_bits(size)).eq(read.data),
            ]
        return m

    def _kept(self, m: Module, at: Any) -> tuple[Any, Any, Any]:
        """Round ``at`` of the group at work, how many of it are stored, and whether these are all."""
        size = self.size
        bits = (size.most_rounds - 1).bit_length() if size.most_rounds > 1 else 1
        m.submodules.rounds = memory = Memory(shape=round_layout(size), depth=BUFFERS << bits, init=[])
        write, read = memory.write_port(), memory.read_port(domain="comb")
        counts = [Signal(range(size.most_rounds + 1), name=f"rounds{n}") for n in range(BUFFERS)]
        all_there = [Signal(name=f"complete{n}") for n in range(BUFFERS)]
        running = Signal()
        here: Any = Signal(range(size.most_rounds + 1), name="stored")
        m.d.comb += [
            here.eq(Mux(running, pick(counts, self.into), 0)),
            write.en.eq(self.gives),
            write.addr.eq(Cat(here[:bits], self.into)),
            write.data.eq(self.round),
            read.addr.eq(Cat(at[:bits], self.group)),
        ]
        with m.If(self.gives):
            m.d.sync += running.eq(1)
        with m.If(self.ends):
            m.d.sync += running.eq(0)
        for n in range(BUFFERS):
            with m.If(self.gives & (self.into == n)):
                m.d.sync += [counts[n].eq(here + 1), all_there[n].eq(0)]
            with m.If(self.ends & (self.into == n)):
                m.d.sync += all_there[n].eq(1)
        return read.data, pick(counts, self.group), pick(all_there, self.group)
