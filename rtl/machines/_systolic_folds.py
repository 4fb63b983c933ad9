"""The walk over a product's folds: down the rows of the array's tiles first, then over its columns.

The job stays on its stream until its last fold is taken, so the walk keeps no more than a place in it, and the
first fold is there in the cycle in which the job is. The next job's folds follow without a gap.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from siloom.rtl.machines._systolic_layouts import fold_layout, job_layout
from siloom.rtl.machines._systolic_size import LENGTH_BITS, ArraySize

# Which sizes of a product lie on the rows, on the columns, and which one streams.
_ACROSS = {"os": ("m", "n", "k"), "ws": ("k", "n", "m"), "is": ("k", "m", "n")}


class FoldWalk(Component):
    """Jobs in, folds out.

    Attributes:
        job: Stream in: products.
        fold: Stream out: the folds of each, in order.
    """

    job: Any
    fold: Any

    def __init__(self, size: ArraySize) -> None:
        """Make the ports."""
        self.size = size
        super().__init__({"job": In(stream.Signature(job_layout())), "fold": Out(stream.Signature(fold_layout(size)))})

    def elaborate(self, platform: object) -> Module:
        """Two places and what is left from them on."""
        m = Module()
        on_rows, on_cols, streamed = (self.job.p[name] for name in _ACROSS[self.size.cell.dataflow])
        row, col = Signal(LENGTH_BITS), Signal(LENGTH_BITS)
        rows, cols = self.size.rows, self.size.cols
        rows_left, cols_left = Signal(LENGTH_BITS), Signal(LENGTH_BITS)
        bottom, rightmost = Signal(), Signal()
        m.d.comb += [
            rows_left.eq(on_rows - row),
            cols_left.eq(on_cols - col),
            bottom.eq(rows_left <= rows),
            rightmost.eq(cols_left <= cols),
            self.fold.valid.eq(self.job.valid),
            self.fold.p.rows.eq(Mux(bottom, rows_left, rows)),
            self.fold.p.cols.eq(Mux(rightmost, cols_left, cols)),
            self.fold.p.streamed.eq(streamed),
            self.job.ready.eq(self.fold.ready & bottom & rightmost),
        ]
        if self.size.depth:
            m.d.comb += [self.fold.p.opens.eq(row == 0), self.fold.p.closes.eq(bottom)]
        with m.If(self.fold.valid & self.fold.ready):
            m.d.sync += row.eq(Mux(bottom, 0, row + rows))
            with m.If(bottom):
                m.d.sync += col.eq(Mux(rightmost, 0, col + cols))
        return m
