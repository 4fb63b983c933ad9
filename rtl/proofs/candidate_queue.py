"""ELSA's queue of candidates: several in a cycle, one out; order kept, nothing lost or made up, last ones marked.

One candidate, any of any step that comes, is followed on its way: how many stand before it is counted, and when none
does, it must be what leaves. Whether it is its query's last is found out from the steps alone.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal

from siloom.models._elsa_design import ElsaDesign
from siloom.rtl.formal import Harness, Part, Proof
from siloom.rtl.machines._elsa_queue import CandidateQueue
from siloom.rtl.machines._elsa_shapes import Shapes

_ASSUMES = {
    "patient": "a step that is not taken stays, unchanged",
    "keys": "a hit's lane holds a key of this bank",
}
_LAWS = {
    "order": "when all candidates before the followed one have left, it is the next to leave, with its number",
    "last": "a candidate is marked as its query's last if and only if it is",
    "count": "no candidate leaves that did not come, and there are at most as many as places",
    "room": "a step is taken if and only if all its hits find a place, that of a candidate which leaves included",
    "moves": "a candidate is shown when another one stands behind it, and when its query has ended",
    "waits": "a candidate that is not taken stays, unchanged",
    "none": "a step is said to end a query without candidates if and only if it does",
}
_REACHES = {
    "full": "every place is taken",
    "all": "every lane has a hit",
    "around": "a followed candidate leaves after one has left from every place",
    "marked": "the followed one leaves as its query's last though the query ended after it had come",
    "empty": "a query ends without candidates",
}


class QueueHarness(Harness):
    """A bank's queue between a selector and an attention module that do as they like."""

    def __init__(self, part: Any, slots: int, width: int) -> None:
        """Watch a part with the ports of a CandidateQueue of so many places, with so many lanes."""
        self.part, self.slots, self.width = part, slots, width
        free = {"hits": width, "base": len(part.i.p.base), "last": 1, "valid": 1, "ready": 1, "follow": range(width)}
        super().__init__(free, laws=_LAWS, reaches=_REACHES, assumptions=_ASSUMES)

    def elaborate(self, platform: object) -> Module:
        """Drive the part, count and follow."""
        m = Module()
        part, slots, width = self.part, self.slots, self.width
        m.submodules.part = part
        local = 1 << len(self.base)
        m.d.comb += [
            part.i.p.hits.eq(self.hits),
            part.i.p.base.eq(self.base),
            part.i.p.last.eq(self.last),
            part.i.valid.eq(self.valid),
            part.o.ready.eq(self.ready),
        ]
        comes, leaves = Signal(), Signal()
        m.d.comb += [comes.eq(self.valid & part.i.ready), leaves.eq(part.o.valid & self.ready)]
        number, held = Signal(range(width + 1)), Signal(range(slots + width + 1))
        m.d.comb += number.eq(sum((self.hits[k] for k in range(width)), Const(0, 1)))
        m.d.sync += held.eq(held + Mux(comes, number, 0) - leaves)

        left = Signal(range(slots + 1))
        with m.If(leaves & (left != slots)):
            m.d.sync += left.eq(left + 1)

        # The step that waits, and the candidate that does.
        offered, step, shows, shown = Signal(), Signal(width + len(self.base) + 1), Signal(), Signal(len(self.base) + 1)
        now, out = Cat(self.hits, self.base, self.last), Cat(part.o.p.local, part.o.p.last)
        m.d.sync += [
            offered.eq(self.valid & ~part.i.ready),
            step.eq(now),
            shows.eq(part.o.valid & ~self.ready),
            shown.eq(out),
        ]
        keys = [~self.hits[k] | (self.base + k < local) for k in range(width)]

        # The followed one, and whether another of its query has come behind it, or the query's end has.
        followed, ahead, key = Signal(), Signal(range(slots + width + 1)), Signal(len(self.base))
        another, ended, late = Signal(), Signal(), Signal()
        turn = followed & (ahead == 0)
        begins = ~followed & comes & self.hits.bit_select(self.follow, 1) & (self.follow < width)
        before = sum((self.hits[k] & (self.follow > k) for k in range(width)), Const(0, 1))
        behind = Cat(self.hits[k] & (self.follow < k) for k in range(width)).any()
        with m.If(followed & leaves):
            m.d.sync += [ahead.eq(ahead - 1), followed.eq(ahead != 0)]
        with m.If(followed & comes & ~ended):
            m.d.sync += [another.eq(another | self.hits.any()), ended.eq(self.last), late.eq(self.last)]
        with m.If(begins):
            m.d.sync += [
                followed.eq(1),
                ahead.eq(held - leaves + before),
                key.eq(self.base + self.follow),
                another.eq(behind),
                ended.eq(self.last),
                late.eq(0),
            ]
        # A step that waits says something too: another one of the query, if it has not ended.
        more = another | (self.valid & ~ended & self.hits.any())
        some = Signal()  # whether the query that is looked at has a candidate so far
        with m.If(comes):
            m.d.sync += some.eq((some | self.hits.any()) & ~self.last)
        m.d.comb += [
            self.fact("patient").eq(~offered | (self.valid & (now == step))),
            self.fact("keys").eq(Cat(keys).all()),
            self.fact("order").eq(~(turn & leaves) | (part.o.p.local == key)),
            self.fact("last").eq(~(turn & part.o.valid) | (Mux(part.o.p.last, ended & ~another, more))),
            self.fact("count").eq((held <= slots) & (~leaves | (held != 0))),
            self.fact("room").eq(~self.valid | (part.i.ready == (held + number <= slots + leaves))),
            self.fact("moves").eq(part.o.valid | ((held < 2) & ~(turn & ended))),
            self.fact("waits").eq(~shows | (part.o.valid & (out == shown))),
            self.fact("none").eq(~comes | (part.none == (self.last & ~some & ~self.hits.any()))),
            self.fact("full").eq(held == slots),
            self.fact("all").eq(comes & self.hits.all()),
            self.fact("around").eq(turn & leaves & (left == slots)),
            self.fact("marked").eq(turn & leaves & part.o.p.last & late),
            self.fact("empty").eq(comes & part.none),
        ]
        return m


def _shapes(slots: int, width: int) -> Shapes:
    """A small pipeline with one bank."""
    return Shapes(
        ElsaDesign(copies=1, memory="ideal", dim=4, max_seq=8, attention_units=1, selectors=width, queue_entries=slots)
    )


class Queue(CandidateQueue):
    """A queue that knows its size."""

    def __init__(self, slots: int, width: int) -> None:
        super().__init__(_shapes(slots, width))
        self.slots, self.width = slots, width


PROOF = Proof(
    name="candidate_queue",
    summary="ELSA's queue of candidates: order, nothing lost or made up, last ones marked, no standstill",
    parts={
        f"entries={slots},selectors={width}": Part(partial(Queue, slots, width), depth, 12)
        for slots, width, depth in ((3, 2, 8), (4, 3, 6))
    },
    harness=lambda part: QueueHarness(part, part.slots, part.width),
)
