"""Right of a row of the array: scores in, and out, for the row's left edge, factors and weights.

Scores wait in a queue until the last of their block has come, and the largest so far with them. Then one exponential
makes, a power a cycle, the factor that brings older sums to the new maximum, and the weight of each score, in a
second queue. Both queues hold what two blocks need, as many as the controller has under way, so none is ever full.
All moves and stops with the array: only so does a row do what the one above it did as many moves ago as it is
delayed by, and the controller need look at the first row alone. The exponential closes gaps while it waits, so it is
given none: in a move without a score it gets what is of no use.

The largest score is kept with a bit above it that says whether there is one, as scores are with whether they count:
so what does not count is below all others. A factor from no maximum is nothing: it clears the sums of the query before.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from siloom.rtl.fifo import Fifo
from siloom.rtl.machines._flash_shapes import FlashShapes
from siloom.rtl.machines._flash_size import Op
from siloom.rtl.machines._systolic_grid import delayed
from siloom.rtl.rounding import half_even
from siloom.rtl.units.exp_split import ExpSplit
from siloom.rtl.unread import unread

_BLOCKS = 2
"""Blocks of which scores, or weights, are here at once."""


class Softmax(Component):
    """The softmax of one row.

    Attributes:
        run: In: whether the array moves.
        beat: In: what leaves the row on the right.
        s: In: its score.
        takes: In: whether the row takes the weight, or factor, at its left edge.
        x: Out: the weight, or factor.
        ready: Out: whether there is one.
        weight: Out: the sum of weights.
    """

    run: Any
    beat: Any
    s: Any
    takes: Any
    x: Any
    ready: Any
    weight: Any

    def __init__(self, size: FlashShapes) -> None:
        """Make the ports."""
        self.size = size
        super().__init__(
            {
                "run": In(1),
                "beat": In(size.beat),
                "s": In(size.across),
                "takes": In(1),
                "x": Out(size.power),
                "ready": Out(1),
                "weight": Out(size.weight_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Maximum, queue, exponential, queue, sum."""
        m = Module()
        size = self.size
        key = self._key(m)
        scores = Fifo(data.StructLayout({"key": size.key, "last": 1}), _BLOCKS * size.block)
        blocks = Fifo(data.StructLayout({"before": size.key, "now": size.key}), _BLOCKS)
        weights = Fifo(size.power, _BLOCKS * (size.block + 1))
        m.submodules += [scores, blocks, weights]
        self._largest(m, key, scores, blocks)

        m.submodules.power = power = ExpSplit(size.exponential)
        within, which = Signal(), Signal(size.key)
        m.d.comb += which.eq(Mux(within, scores.o.p.key, blocks.o.p.before))
        ends = within & scores.o.p.last
        exact, x_bits = Signal(size.score.width, name="distance"), size.exponential.x_bits
        m.d.comb += [
            exact.eq(blocks.o.p.now[:-1] - which[:-1]),
            power.i.p.x.eq(exact[:x_bits] | (exact[x_bits:].any().replicate(x_bits) if x_bits < len(exact) else 0)),
            power.i.valid.eq(self.run),
            power.o.ready.eq(self.run),
            scores.o.ready.eq(self.run & blocks.o.valid & within),
            blocks.o.ready.eq(self.run & ends),
        ]
        with m.If(self.run & blocks.o.valid):
            m.d.sync += within.eq(~ends)
        told: Any = delayed(m, Cat(within, which[-1], blocks.o.valid), size.exponential.stages, self.run, "told")
        made, comes = Signal(size.power), Signal()
        m.d.comb += [
            made.eq(Mux(told[1], power.o.p.power, 0)),
            comes.eq(self.run & told[2]),
            weights.i.valid.eq(comes),
            weights.i.payload.eq(made),
            self.x.eq(weights.o.payload),
            self.ready.eq(weights.o.valid),
            weights.o.ready.eq(self.takes),
        ]
        scaled: Any = Signal(size.weight_bits + size.power.width, name="scaled")
        m.d.comb += scaled.eq(self.weight * made)
        with m.If(comes):
            brought = half_even(Cat(scaled, 0).as_signed(), size.power_fraction)
            m.d.sync += self.weight.eq(Mux(told[0], self.weight + (made << size.guard_bits), brought))
        queues = [part for queue in (scores, blocks, weights) for part in (queue.i.ready, queue.level)]
        unread(m, [*queues, power.i.ready, power.o.valid, scores.o.valid])
        return m

    def _key(self, m: Module) -> Any:
        """The score, rounded, so that it compares as an unsigned number; 0 where it does not count."""
        size = self.size
        score: Any = Signal(size.score, name="score")
        key = Signal(size.key, name="key")
        m.d.comb += [
            score.eq(half_even(self.s[: size.dot.width].as_signed(), size.dropped)),
            key.eq(Mux(self.beat.kept, Cat(score[:-1], ~score[-1], 1), 0)),
        ]
        return key

    def _largest(self, m: Module, key: Any, scores: Any, blocks: Any) -> None:
        """The largest key of the query up to here, and up to the block before."""
        size, beat = self.size, self.beat
        comes, most, older = Signal(), Signal(size.key), Signal(size.key)
        base, now, before = Signal(size.key), Signal(size.key), Signal(size.key)
        m.d.comb += [
            comes.eq(self.run & (beat.op == Op.SCORE)),
            base.eq(Mux(beat.opens, 0, most)),
            now.eq(Mux(key > base, key, base)),
            before.eq(Mux(beat.starts, base, older)),
            scores.i.valid.eq(comes),
            scores.i.p.key.eq(key),
            scores.i.p.last.eq(beat.closes),
            blocks.i.valid.eq(comes & beat.closes),
            blocks.i.p.before.eq(before),
            blocks.i.p.now.eq(now),
        ]
        with m.If(comes):
            m.d.sync += [most.eq(now), older.eq(before)]
