"""Work handed out: each piece takes its time to prepare, and one waits prepared while the next is prepared.

A queue in front of that lets whoever finds the pieces find them unevenly. The first piece needs no time. Whoever is
free first is given the piece; of several, the one with the lowest number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Const, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

AHEAD = 8
"""Pieces that wait to be prepared."""


class Dispatch(wiring.Component):
    """A controller's hand.

    Attributes:
        work: Pieces in, in order.
        first: High for a cycle before any work: the next piece is the first.
        open: High: pieces may be handed out.
        given: For each worker, pieces out.
        gives: A piece is handed out in this cycle; ``piece`` is it, ``to`` the worker's number.
        piece: See ``gives``.
        to: See ``gives``.
        empty: Nothing is prepared or waits.
    """

    work: stream.Interface
    first: Signal
    open: Signal
    given: Sequence[stream.Interface]
    gives: Signal
    piece: Any
    to: Signal
    empty: Signal

    def __init__(self, layout: data.StructLayout, workers: int, cycles: int) -> None:
        """What a piece is, who works, and how long preparing takes, a cycle at least."""
        self.layout, self.workers, self.cycles = layout, workers, cycles
        super().__init__(
            {
                "work": In(stream.Signature(layout)),
                "first": In(1),
                "open": In(1),
                "given": Out(stream.Signature(layout)).array(workers),
                "gives": Out(1),
                "piece": Out(layout),
                "to": Out(range(workers)),
                "empty": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """A queue, whose head is prepared, a place, and a count of cycles."""
        m = Module()
        m.submodules.queue = queue = SyncFIFO(width=self.layout.size, depth=AHEAD)
        coming: Any = data.View(self.layout, queue.r_data)
        prepared, moves = Signal(), Signal()
        wait = Signal(range(self.cycles))
        m.d.comb += [
            queue.w_data.eq(self.work.payload.as_value()),
            queue.w_en.eq(self.work.valid),
            self.work.ready.eq(queue.w_rdy),
            moves.eq(queue.r_rdy & (wait == 0) & (~prepared | self.gives)),
            queue.r_en.eq(moves),
            self.empty.eq(~queue.r_rdy & ~prepared),
        ]
        with m.If(self.gives):
            m.d.sync += prepared.eq(0)
        with m.If(queue.r_rdy & (wait != 0)):
            m.d.sync += wait.eq(wait - 1)
        with m.If(moves):
            m.d.sync += [self.piece.eq(coming), prepared.eq(1), wait.eq(self.cycles - 1)]
        with m.If(self.first):
            m.d.sync += wait.eq(0)

        before: Any = Const(0, 1)
        for k, side in enumerate(self.given):
            m.d.comb += [side.valid.eq(prepared & self.open & ~before), side.payload.eq(self.piece)]
            with m.If(side.valid & side.ready):
                m.d.comb += [self.gives.eq(1), self.to.eq(k)]
            before = before | side.ready
        return m
