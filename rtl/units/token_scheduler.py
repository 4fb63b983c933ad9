"""The twin of ``sim/units/token_scheduler.py``: buffers of keys, and the choice of what shares a round.

Out of order there is a buffer for each bitmap, in order one for each row. Each has a memory for every lane of a beat,
so that all keys of a beat can enter the same buffer; the lowest of their first keys is the buffer's.

Out of order, a round is as many choices one behind the other as it has keys: of the buffers that have a key and need no
row already taken, the first in the order of fullness, which is the lowest bit set. For this it suffices to know which
buffers have a key. So the choice is made a cycle ahead, of what they will have, and only the keys are looked up when
the round is given. In order, the rows' next keys are all compared with each other: a row's place is the number of lower
keys, counted once where rows share one. A round ahead these keys are not known, so this is done as it is given.

With a group's last round the next group may come in already.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from siloom.rtl.barrel import named
from siloom.rtl.contest import Entrant, winners
from siloom.rtl.key_buffer import Buffer, Filling, buffer
from siloom.rtl.lanes import lanes
from siloom.rtl.pick import the_one
from siloom.rtl.twin import Twin
from siloom.sim.units import token_scheduler


class TokenScheduler(Twin):
    """A scheduler of the size that ``design`` says."""

    def __init__(self, design: token_scheduler.TokenScheduler) -> None:
        """Take the promise for this size."""
        super().__init__(token_scheduler.contract(design))
        self.design = design
        self.bitmaps: list[int] = token_scheduler.buffer_order(design.tokens).tolist()

    def elaborate(self, platform: object) -> Module:
        """A group goes into the buffers beat by beat and comes out of them round by round."""
        m = Module()
        giving, moves, takes, more = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            moves.eq(giving & (self.o.ready | ~self.o.valid)),
            self.i.ready.eq(~giving | (moves & ~more)),
            takes.eq(self.i.valid & self.i.ready),
        ]
        with m.If(takes):
            m.d.sync += giving.eq(self.i.p.last)
        with m.Elif(self.i.ready):
            m.d.sync += giving.eq(0)
        filling = Filling(takes, giving, self.i.ready)
        buffers = self._buffers(m, filling)
        firsts = [self._lowest(m, number, lane_buffers) for number, lane_buffers in enumerate(buffers)]
        m.d.comb += more.eq(Cat(one.remains for each in buffers for one in each).any())
        if self.design.in_order:
            chosen = self._lowest_keys(m, firsts)
        else:
            following = [Cat(one.following for one in each).any() for each in buffers]
            chosen = self._fullest(m, following)
        m.d.comb += self.o.valid.eq(giving & Cat(chosen[0]).any())
        self._give(m, firsts, chosen, moves)
        return m

    def _buffers(self, m: Module, filling: Filling) -> list[list[Buffer]]:
        """For each bitmap or row the buffers of all lanes."""
        first = Signal(self.design.index.bits, name="first_key")
        with m.If(filling.takes):
            m.d.sync += first.eq(Mux(self.i.p.last, 0, first + self.design.lanes))
        depth = self.design.keys // self.design.lanes
        found = []
        for number in range(self.design.tokens if self.design.in_order else len(self.bitmaps)):
            each = []
            for lane, owners in enumerate(lanes(self.i.p.owners)):
                enters = owners[number] if self.design.in_order else owners == self.bitmaps[number]
                key = named(m, (first + lane)[: len(first)], f"key{number}_{lane}")
                each.append(buffer(m, f"buffer{number}_{lane}", depth, filling, enters, key))
            found.append(each)
        return found

    def _lowest(self, m: Module, number: int, buffers: Sequence[Buffer]) -> Entrant:
        """The lowest of the lanes' first keys."""
        firsts = [one.first for one in buffers]
        while len(firsts) > 1:
            firsts = winners(m, f"buffer{number}_of{len(firsts)}_", firsts, largest=False)
        return firsts[0]

    def _fullest(self, m: Module, following: Sequence[Value]) -> list[list[Value]]:
        """For each key of the next round, which buffer it comes from, in registers."""
        waiting, busy = Cat(following), Const(0, self.design.tokens)
        found = []
        for place in range(self.design.per_round):
            free = [~(busy & bitmap).any() for bitmap in self.bitmaps]
            fits = named(m, waiting & Cat(free), f"fits{place}")
            lowest = named(m, fits & (~fits + 1)[: len(fits)], f"lowest{place}")
            busy = named(m, busy | self._owners(list(lowest)), f"busy{place}")
            chosen = Signal(len(fits), name=f"chosen{place}")
            m.d.sync += chosen.eq(lowest)
            found.append(list(chosen))
        return found

    def _lowest_keys(self, m: Module, firsts: Sequence[Entrant]) -> list[list[Value]]:
        """For each key of this round, which rows work on it."""
        count = len(firsts)
        # Rows that have a key, but for those with the key of a row before them.
        leads = [
            one.left & ~Cat(firsts[b].left & (firsts[b].number == one.number) for b in range(a)).any()
            for a, one in enumerate(firsts)
        ]
        leads = [named(m, value, f"leads{a}") for a, value in enumerate(leads)]
        ranks = []
        for a, one in enumerate(firsts):
            lower = [leads[b] & (firsts[b].number < one.number) for b in range(count) if b != a]
            rank = Signal(range(max(2, count)), name=f"rank{a}")
            m.d.comb += rank.eq(sum(lower[1:], lower[0]) if lower else 0)
            ranks.append(rank)
        return [
            [named(m, one.left & (ranks[a] == place), f"row{a}_is{place}") for a, one in enumerate(firsts)]
            for place in range(self.design.per_round)
        ]

    def _give(self, m: Module, firsts: Sequence[Entrant], chosen: Sequence[Sequence[Value]], moves: Value) -> None:
        """The round, and calls for the buffers of its keys."""
        keys, owners = [], []
        for place, those in enumerate(chosen):
            # Rows that share a key show the same one.
            keys.append(the_one(m, f"given{place}", those, [one.number for one in firsts]))
            owners.append(Cat(those) if self.design.in_order else named(m, self._owners(those), f"owners{place}"))
        m.d.comb += [Value.cast(self.o.p.key).eq(Cat(keys)), Value.cast(self.o.p.owners).eq(Cat(owners))]
        for number, one in enumerate(firsts):
            m.d.comb += one.called.eq(moves & Cat(those[number] for those in chosen).any())

    def _owners(self, chosen: Sequence[Any]) -> Value:
        """The bitmap of the buffer that is chosen."""
        return Cat(
            Cat(is_it for is_it, bitmap in zip(chosen, self.bitmaps, strict=True) if bitmap >> row & 1).any()
            for row in range(self.design.tokens)
        )


TWIN = TokenScheduler
