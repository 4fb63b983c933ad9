"""The controller of an attention array: which beat enters it in a cycle.

For each tile of queries, one after another: a beat a query to take it in; blocks of keys, and behind each but the
first, the values of the block before it; the values that are left; a beat a column for the sums to leave. A missing
operand, or a weight that is not there yet, makes an idle beat and moves later ones back. ``run`` low stops everything.
A head stays on its stream until its last beat, so nothing of it is kept but a place in it.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from siloom.rtl.machines._flash_shapes import FlashShapes
from siloom.rtl.machines._flash_size import Op


class Head(Component):
    """Heads and operands in, beats out.

    Attributes:
        run: In: whether the array moves.
        ready: In: whether the first row has its next weight or factor.
        job: Stream in: heads.
        q: Stream in: queries.
        k: Stream in: keys, again for each tile.
        v: Stream in: values, again for each tile.
        lanes: Out: what enters each row, before row i is delayed by i.
        top: Out: what enters the columns, before column j is delayed by j.
    """

    run: Any
    ready: Any
    job: Any
    q: Any
    k: Any
    v: Any
    lanes: Any
    top: Any

    def __init__(self, size: FlashShapes) -> None:
        """Make the ports."""
        self.size = size
        super().__init__(
            {
                "run": In(1),
                "ready": In(1),
                "job": In(stream.Signature(size.job)),
                **{name: In(stream.Signature(size.vector)) for name in ("q", "k", "v")},
                "lanes": Out(data.ArrayLayout(size.beat, size.rows)),
                "top": Out(size.vector),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Where in the tile it is, what comes next, and what each row is told."""
        m = Module()
        size, given = self.size, self.job.p
        op = Signal(range(len(Op)), init=Op.LOAD)
        first, scored, weighed = (Signal(size.seq, name=name) for name in ("first", "scored", "weighed"))
        at = Signal(range(max(size.rows, size.cols)))
        left, queries, keys = Signal(size.seq), Signal(range(size.rows + 1)), Signal(size.seq)
        final = Signal()
        m.d.comb += [
            left.eq(given.seq - first),
            final.eq(left <= size.rows),
            queries.eq(Mux(final, left, size.rows)),
            keys.eq(Mux(given.causal, first + queries, given.seq)),
        ]
        can, moves, beat = Signal(), Signal(), Signal()
        m.d.comb += [moves.eq(self.run & self.job.valid), beat.eq(moves & can)]
        with m.Switch(op):
            for what, operand, others in ((Op.LOAD, self.q, 1), (Op.SCORE, self.k, 1), (Op.WEIGH, self.v, self.ready)):
                with m.Case(what):
                    m.d.comb += [
                        can.eq(operand.valid & others),
                        operand.ready.eq(moves & others),
                        self.top.eq(operand.payload),
                    ]
            with m.Case(Op.SCALE):
                m.d.comb += can.eq(self.ready)
            with m.Default():
                m.d.comb += can.eq(1)

        in_score, in_weigh = Signal(range(size.block)), Signal(range(size.block))
        all_scored, all_weighed, ahead = Signal(), Signal(), Signal(range(3))
        score_ends, weigh_ends = Signal(), Signal()
        m.d.comb += [
            all_scored.eq(scored == keys - 1),
            all_weighed.eq(weighed == keys - 1),
            score_ends.eq(all_scored | (in_score == size.block - 1)),
            weigh_ends.eq(all_weighed | (in_weigh == size.block - 1)),
        ]
        with m.If(beat), m.Switch(op):
            with m.Case(Op.LOAD):
                m.d.sync += at.eq(at + 1)
                with m.If(at == queries - 1):
                    m.d.sync += [at.eq(0), op.eq(Op.SCORE)]
            with m.Case(Op.SCORE):
                m.d.sync += [scored.eq(scored + 1), in_score.eq(in_score + 1)]
                with m.If(score_ends):
                    # Two blocks are under way at most, and both before the first of them is weighed.
                    more = (ahead == 0) & ~all_scored
                    m.d.sync += [in_score.eq(0), ahead.eq(ahead + 1), op.eq(Mux(more, Op.SCORE, Op.SCALE))]
            with m.Case(Op.SCALE):
                m.d.sync += op.eq(Op.WEIGH)
            with m.Case(Op.WEIGH):
                m.d.sync += [weighed.eq(weighed + 1), in_weigh.eq(in_weigh + 1)]
                with m.If(weigh_ends):
                    following = Mux(scored == keys, Op.SCALE, Op.SCORE)
                    m.d.sync += [in_weigh.eq(0), ahead.eq(ahead - 1), op.eq(Mux(all_weighed, Op.DRAIN, following))]
            with m.Default():
                m.d.sync += at.eq(at + 1)
                with m.If(at == size.cols - 1):
                    m.d.sync += [at.eq(0), scored.eq(0), weighed.eq(0), op.eq(Op.LOAD)]
                    m.d.sync += first.eq(Mux(final, 0, first + size.rows))
                    m.d.comb += self.job.ready.eq(final)
        for i, lane in enumerate(self.lanes):
            used = i < queries
            # A query is for one row; all else happens in all of them, to no effect where there is no query.
            own = beat & ((op != Op.LOAD) | (at == i))
            m.d.comb += [
                lane.op.eq(Mux(own, op, Op.IDLE)),
                lane.kept.eq(used & ((op == Op.DRAIN) | ~given.causal | (scored <= first + i))),
                lane.opens.eq(scored == 0),
                lane.starts.eq(in_score == 0),
                lane.closes.eq(score_ends),
            ]
        return m
