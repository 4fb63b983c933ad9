"""Controller, grid of cells and columns of a systolic array put together, of any kind of cell.

Knows no machine: what an array is made of says its :class:`ArraySize`. ``systolic`` is this and no more.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from siloom.rtl.machines._systolic_folds import FoldWalk
from siloom.rtl.machines._systolic_grid import Grid, delayed
from siloom.rtl.machines._systolic_heads import OperandStays, SumsStay
from siloom.rtl.machines._systolic_layouts import job_layout, left_layout, note_layout, top_layout
from siloom.rtl.machines._systolic_size import ArraySize
from siloom.rtl.machines._systolic_sums import Column
from siloom.rtl.shared import place


class Array(Component):
    """A systolic array of a size.

    Attributes:
        job: Stream in: products to be computed, one after another; folds of one follow those of the other.
        left: Stream in: factors that go right.
        top: Stream in: factors, or operands that stay, that go down.
        sums0: Stream out: finished sums of column 0; ``sums1`` and so on are those of the others.
    """

    job: Any
    left: Any
    top: Any

    def __init__(self, size: ArraySize) -> None:
        """Make the ports."""
        self.size = size
        ins = {"job": job_layout(), "left": left_layout(size), "top": top_layout(size)}
        outs = {f"sums{j}": size.sum_bits for j in range(size.cols)}
        super().__init__(
            {name: In(stream.Signature(shape)) for name, shape in ins.items()}
            | {name: Out(stream.Signature(shape)) for name, shape in outs.items()}
        )

    def elaborate(self, platform: object) -> Module:
        """Controller, array, columns."""
        m = Module()
        size = self.size
        run = Signal()
        m.submodules.walk = walk = FoldWalk(size)
        m.submodules.head = head = (SumsStay if size.sums_stay else OperandStays)(size)
        m.submodules.grid = grid = Grid(size)
        connect(m, flipped(self.job), walk.job)
        connect(m, walk.fold, head.fold)
        connect(m, flipped(self.left), head.left)
        connect(m, flipped(self.top), head.top)
        m.d.comb += [head.run.eq(run), grid.run.eq(run), grid.head.eq(head.head)]
        columns = []
        # What is known of a row of results reaches column 0 in step with it, and the others one cycle after another.
        behind = size.rows - 1 + size.stages
        ahead = delayed(m, head.note, behind, run, "notes")
        place_ahead = delayed(m, head.place, behind, run, "places") if size.depth else None
        for j in range(size.cols):
            note: Any = Signal(note_layout(size), name=f"note{j}")
            with m.If(run):
                m.d.sync += note.eq(ahead)
            column: Any = Column(size)
            place(m, platform, column, f"column{j}", "systolic_column")
            m.d.comb += [
                column.run.eq(run),
                column.valid.eq(note.valid & (j < note.cols)),
                column.sum.eq(grid.below[j]),
            ]
            if size.depth:
                m.d.comb += [
                    column.closes.eq(note.closes),
                    column.next_opens.eq(ahead.opens),
                    column.place.eq(place_ahead),
                ]
                place_ahead = column.next_place
            finished = getattr(self, f"sums{j}")
            m.d.comb += [
                finished.payload.eq(column.o.payload),
                finished.valid.eq(column.o.valid),
                column.o.ready.eq(finished.ready),
            ]
            columns.append(column)
            ahead = note
        rooms: list[Value] = [column.room for column in columns]
        m.d.comb += run.eq(_all(rooms))
        return m


def _all(bits: list[Value]) -> Value:
    together = bits[0]
    for bit in bits[1:]:
        together = together & bit
    return together
