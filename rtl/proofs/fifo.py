"""The queue: order kept, nothing lost or made up, its level within bounds; for ever.

One beat, any that comes, is followed on its way: how many stand before it is counted, and when none does, it
must be what leaves. As the solver chooses which, this holds of every beat.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from amaranth.hdl import Module, Mux, Shape, Signal

from siloom.rtl.fifo import Fifo
from siloom.rtl.formal import Harness, Part, Proof

_BITS = 8


_LAWS = {
    "order": "when all beats before the one that is followed have left, it is the next to leave, as it came",
    "count": "level is the number of beats that came and have not left, so none is lost or made up",
    "bounds": "level is at most depth",
    "room": "a beat is taken whenever fewer than depth are held, and only then",
    "shown": "a beat is shown whenever one is held, and only then",
    "waits": "a beat that is not taken stays, unchanged",
}
_HELPS = {
    "places": "the places to read and to write are inside the storage, level apart",
    "stored": "the beat that is followed lies where its turn will be",
}
_REACHES = {
    "full": "the queue is full",
    "around": "a beat that is followed leaves from the first place, after one has left from every place",
    "both": "a beat comes and another leaves in the same cycle",
}


class FifoHarness(Harness):
    """A queue between neighbours that do as they like."""

    def __init__(self, part: Any) -> None:
        """Watch a part with the ports of a Fifo."""
        self.part = part
        self.bits = Shape.cast(part.i.p.shape()).width
        # A single place is full or empty.
        reaches = {name: says for name, says in _REACHES.items() if name != "both" or part.depth > 1}
        free = {"payload": self.bits, "valid": 1, "ready": 1, "follow": 1}
        super().__init__(free, laws=_LAWS, helps=_HELPS, reaches=reaches)

    def elaborate(self, platform: object) -> Module:
        """Drive the part, count and follow."""
        m = Module()
        part, depth = self.part, self.part.depth
        m.submodules.part = part
        inside = part.storage.read_port(domain="comb")
        m.d.comb += [part.i.payload.eq(self.payload), part.i.valid.eq(self.valid), part.o.ready.eq(self.ready)]
        comes, leaves = part.i.valid & part.i.ready, part.o.valid & part.o.ready

        held = Signal(range(depth + 2))  # one more than may be, to see it
        m.d.sync += held.eq(held + comes - leaves)
        left = Signal(range(depth + 1))
        with m.If(leaves & (left != depth)):
            m.d.sync += left.eq(left + 1)
        followed, ahead, what = Signal(), Signal(range(depth + 1)), Signal(self.bits)
        turn = followed & (ahead == 0)
        with m.If(followed & leaves):
            m.d.sync += [ahead.eq(ahead - 1), followed.eq(ahead != 0)]
        with m.If(~followed & comes & self.follow):
            m.d.sync += [followed.eq(1), ahead.eq(held - leaves), what.eq(part.i.payload)]
        waiting, shown = Signal(), Signal(self.bits)
        m.d.sync += [waiting.eq(part.o.valid & ~part.o.ready), shown.eq(part.o.payload)]
        place, last = Signal(range(2 * depth + 1)), Signal(range(2 * depth + 1))
        m.d.comb += [
            place.eq(part.first + ahead),
            inside.addr.eq(Mux(place < depth, place, place - depth)),
            last.eq(part.first + part.level),
            self.fact("order").eq(~turn | (part.o.valid & (~part.o.ready | (part.o.payload == what)))),
            self.fact("count").eq(part.level == held),
            self.fact("bounds").eq(part.level <= depth),
            self.fact("room").eq(part.i.ready == (held < depth)),
            self.fact("shown").eq(part.o.valid == (held != 0)),
            self.fact("waits").eq(~waiting | (part.o.valid & (part.o.payload == shown))),
            self.fact("places").eq((part.first < depth) & (part.free == Mux(last < depth, last, last - depth))),
            self.fact("stored").eq(~followed | ((ahead < held) & (inside.data == what))),
            self.fact("full").eq(held == depth),
            self.fact("around").eq(turn & leaves & (part.first == 0) & (left == depth)),
        ]
        if depth > 1:
            m.d.comb += self.fact("both").eq(comes & leaves)
        return m


PROOF = Proof(
    name="fifo",
    summary="queue between two streams: order, nothing lost or made up, level within bounds",
    parts={f"depth={depth}": Part(partial(Fifo, _BITS, depth), 3, 12) for depth in (1, 3, 4)},
    harness=FifoHarness,
    forever=True,
)
