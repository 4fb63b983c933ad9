"""Post-scoring: which of a query's scores are near enough to its largest, some of them a cycle.

A comparison takes a cycle more than the look at the scores: the last ones' results come when the query has begun in the
next module, which waits for them.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from siloom.models._a3_units import post_bound
from siloom.rtl.beside import after
from siloom.rtl.machines._a3_size import Size
from siloom.rtl.machines._a3_turn import Turn
from siloom.rtl.pick import pick
from siloom.rtl.shared import place
from siloom.rtl.units.post_score import PostScore


class Post(wiring.Component):
    """The module.

    Attributes:
        i: Queries with all their scores.
        o: The same.
        slot: Where the scores of the query lie that is looked at.
        group: Which are looked at.
        seen: They.
        asked: A query's slot.
        kept: Its scores that are near enough, by ordinal.
    """

    i: stream.Interface
    o: stream.Interface
    slot: Signal
    group: Signal
    asked: Signal
    kept: Signal

    def __init__(self, size: Size) -> None:
        self._size = size
        super().__init__(
            {
                "i": In(stream.Signature(size.scored)),
                "o": Out(stream.Signature(size.scored)),
                "slot": Out(size.slot),
                "group": Out(size.group),
                "seen": In(size.score).array(size.width),
                "asked": In(size.slot),
                "kept": Out(size.keys),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """The comparisons, and the bits that they give, for every query in flight."""
        m = Module()
        size, unit = self._size, self._size.units.post
        me: Any = self
        turn = Turn(m, self.i, self.o)
        query: Any = Signal(size.scored)
        last_group = query.last[size.width_bits :] == self.group[: size.group_bits] if size.group_bits else Const(1, 1)
        m.d.comb += [turn.done.eq(turn.busy & last_group), self.o.payload.eq(query)]
        with m.If(turn.busy & ~turn.done):
            m.d.sync += self.group.eq(self.group + 1)
        with m.If(turn.leaves):
            m.d.sync += [self.group.eq(0), self.slot.eq(after(self.slot, size.slots))]
        with m.If(turn.takes):
            m.d.sync += query.eq(self.i.payload)

        # A score may be further below the largest than any bound, but no two are further apart than this.
        bound = min(post_bound(size.design, size.dim), (1 << (unit.score_bits + 1)) - 1)
        note: Any = Signal(data.StructLayout({"valid": 1, "slot": size.slot, "group": size.group, "lanes": size.width}))
        m.d.sync += [note.valid.eq(turn.busy), note.slot.eq(self.slot), note.group.eq(self.group)]
        near = Signal(size.width)
        for lane in range(size.width):
            one = PostScore(unit)
            place(m, platform, one, f"post{lane}", "a3_post_score")
            ordinal = Cat(Const(lane, size.width_bits), self.group[: size.group_bits])
            m.d.comb += [
                one.i.valid.eq(turn.busy),
                one.i.p.score.eq(me.seen[lane]),
                one.i.p.largest.eq(query.largest),
                one.i.p.bound.eq(bound),
                one.o.ready.eq(1),
                near[lane].eq(one.o.valid & one.o.p.kept & note.lanes[lane]),
            ]
            m.d.sync += note.lanes[lane].eq(ordinal <= query.last)

        kept = [Signal(1 << size.number_bits, name=f"kept{slot}") for slot in range(size.slots)]
        starts = Signal(size.slot)  # the slot of the query that comes in
        with m.If(turn.takes):
            m.d.sync += starts.eq(after(starts, size.slots))
        for slot, bits in enumerate(kept):
            with m.If(turn.takes & (starts == slot)):
                m.d.sync += bits.eq(0)
            with m.Elif(note.valid & (note.slot == slot)):
                group = note.group[: size.group_bits]
                where = bits.word_select(group, size.width) if size.group_bits else bits
                m.d.sync += where.eq(near)
        m.d.comb += self.kept.eq(pick(kept, self.asked))
        return m
