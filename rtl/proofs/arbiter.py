"""Round robin: one at a time, nothing lost or made up, offers that stay, and nobody waits for ever; for ever.

One stream, which the solver chooses, is followed: while it asks, all that others are served is counted.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal

from siloom.rtl.formal import Harness, Part, Proof
from siloom.rtl.turns import Turns

_BITS = 4

_ASSUMES = {"patient": "who asks goes on asking, with the same beat, until it is taken"}
_LAWS = {
    "one": "at most one beat is taken in a cycle",
    "through": "a beat is taken if and only if one is given on, and it is the same",
    "busy": "a beat is offered whenever somebody asks, and only then",
    "waits": "an offer that is not taken stays, unchanged",
    "turn": "who asks is served after at most one beat of each of the others",
}
_HELPS = {
    "mask": "the streams behind the one served last are the last ones",
    "kept": "who was offered and not taken still asks, and is who is offered",
    "nearer": "whoever is served before the followed one stands between the one served last and it",
}
_REACHES = {
    "longest": "the followed one waits for a beat of each of the others",
    "passes": "an offer stays though one that stands nearer to the one served last asks meanwhile",
    "alone": "one stream is served twice in a row",
}


class ArbiterHarness(Harness):
    """An arbiter between neighbours that do as they like, within what streams promise."""

    def __init__(self, part: Any) -> None:
        """Watch a part with the ports of Turns."""
        self.part = part
        self.count = len(part.asks)
        self.bits = Shape.cast(part.chosen.p.shape()).width
        free = {
            "payloads": self.bits * self.count,
            "valids": self.count,
            "ready": 1,
            "followed": range(self.count),
        }
        super().__init__(free, laws=_LAWS, helps=_HELPS, reaches=_REACHES, assumptions=_ASSUMES)

    def elaborate(self, platform: object) -> Module:
        """Drive the part, follow and count."""
        m = Module()
        part, count = self.part, self.count
        m.submodules.part = part
        payloads = [self.payloads.word_select(k, self.bits) for k in range(count)]
        for k, side in enumerate(part.asks):
            m.d.comb += [side.payload.eq(payloads[k]), side.valid.eq(self.valids[k])]
        m.d.comb += part.chosen.ready.eq(self.ready)
        taken = Signal(count)
        m.d.comb += taken.eq(Cat(side.valid & side.ready for side in part.asks))
        gives = Signal()
        m.d.comb += gives.eq(part.chosen.valid & part.chosen.ready)

        # What the neighbours promise, and what the part must.
        asked, before, waited, offer = Signal(count), Signal(len(self.payloads)), Signal(), Signal(self.bits)
        m.d.sync += [
            asked.eq(self.valids & ~taken),
            before.eq(self.payloads),
            waited.eq(part.chosen.valid & ~part.chosen.ready),
            offer.eq(part.chosen.payload),
        ]
        patient = [
            ~asked[k] | (self.valids[k] & (payloads[k] == before.word_select(k, self.bits))) for k in range(count)
        ]

        # The followed one is chosen in the first cycle.
        started, which = Signal(), Signal(range(count))
        who = Signal(range(count))
        m.d.comb += who.eq(Mux(started, which, self.followed))
        m.d.sync += [started.eq(1), which.eq(who)]
        served, twice = Signal(range(count + 1)), Signal(count)
        asks = self.valids.bit_select(who, 1) & (who < count)
        mine = taken.bit_select(who, 1)
        m.d.sync += twice.eq(Mux(gives, taken, twice))
        with m.If(~asks | mine):
            m.d.sync += served.eq(0)
        with m.Elif(gives & (served != count)):
            m.d.sync += served.eq(served + 1)

        # How many stand between the one served last and the followed one, or the one that is offered.
        between, offered = Signal(range(count)), Signal(range(count))
        first = Signal(range(count + 1))  # the lowest of those behind; all of them when none is
        m.d.comb += [
            first.eq(sum((~part.behind[k] for k in range(count)), Const(0, 1))),
            between.eq(self._behind(who, first)),
            offered.eq(self._behind(part.last, first)),
        ]
        masks = [part.behind == (((1 << count) - 1) & ~((2 << k) - 1)) for k in range(count)]
        late = part.stays & (served != 0) & (part.last != who)
        m.d.comb += [
            self.fact("patient").eq(Cat(patient).all() & (who < count)),
            self.fact("one").eq((taken & (taken - 1)) == 0),
            self.fact("through").eq(
                (gives == taken.any())
                & Cat(~taken[k] | (part.chosen.payload == payloads[k]) for k in range(count)).all()
            ),
            self.fact("busy").eq(part.chosen.valid == self.valids.any()),
            self.fact("waits").eq(~waited | (part.chosen.valid & (part.chosen.payload == offer))),
            self.fact("turn").eq(~asks | mine | (served + gives <= count - 1)),
            self.fact("mask").eq(Cat(masks).any()),
            self.fact("kept").eq(
                (part.stays == waited)
                & (~part.stays | (asked.bit_select(part.last, 1) & (before.word_select(part.last, self.bits) == offer)))
            ),
            self.fact("nearer").eq(
                ((served == 0) | asked.bit_select(who, 1))
                & (served + between <= count - 1)
                & (~late | (offered < between))
            ),
            self.fact("longest").eq(mine & (served == count - 1)),
            self.fact("passes").eq(part.stays & asks & (between < offered)),
            self.fact("alone").eq((taken & twice).any()),
        ]
        return m

    def _behind(self, who: Any, first: Any) -> Any:
        """How many stand between the one served last and this one, going round."""
        start = Mux(first == self.count, 0, first)
        return Mux(who >= start, who - start, who + self.count - start)


PROOF = Proof(
    name="arbiter",
    summary="round robin: one beat at a time, offers that stay, everyone's turn comes",
    parts={f"streams={count}": Part(partial(Turns, _BITS, count), 3, 8) for count in (2, 3, 5)},
    harness=ArbiterHarness,
    forever=True,
)
