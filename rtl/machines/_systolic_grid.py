"""The cells of a systolic array, and the registers that delay row i by i cycles and column j by j.

Rows are equal, so one is written and placed many times, and so is the cell in it. Cells take a beat in every
cycle in which ``run`` is high; the array moves or stops as a whole.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from siloom.rtl.machines._systolic_layouts import head_layout, lane_layout, sums_layout, top_layout
from siloom.rtl.machines._systolic_size import ArraySize
from siloom.rtl.shared import place
from siloom.rtl.units.sparse24_cell import Sparse24Cell
from siloom.rtl.units.systolic_cell import SystolicCell
from siloom.rtl.units.systolic_float_cell import SystolicFloatCell
from siloom.sim.units import sparse24_cell, systolic_cell


class Row(Component):
    """A row of cells.

    Attributes:
        run: In: whether the cells move.
        left: In: what enters the leftmost cell.
        top: In: factors or operands from above.
        above: In: sums from above.
        right: Out: what leaves the rightmost cell.
        down: Out: factors or operands that leave downwards.
        below: Out: sums that leave downwards.
    """

    run: Any
    left: Any
    top: Any
    above: Any
    right: Any
    down: Any
    below: Any

    def __init__(self, size: ArraySize) -> None:
        """Make the ports."""
        self.size = size
        super().__init__(
            {
                "run": In(1),
                "left": In(lane_layout(size)),
                "top": In(top_layout(size)),
                "above": In(sums_layout(size)),
                "right": Out(lane_layout(size)),
                "down": Out(top_layout(size)),
                "below": Out(sums_layout(size)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Factors and flags go from cell to cell."""
        m = Module()
        lane = self.left
        for j in range(self.size.cols):
            cell: Any = _cell(self.size)
            place(m, platform, cell, f"cell{j}", "systolic_cell")
            m.d.comb += [
                cell.i.valid.eq(self.run),
                cell.i.p.b.eq(self.top[j]),
                cell.i.p.psum.eq(self.above[j]),
                cell.o.ready.eq(1),
                self.down[j].eq(cell.o.p.b),
                self.below[j].eq(cell.o.p.psum),
            ]
            m.d.comb += [cell.i.p[name].eq(lane[name]) for name in lane_layout(self.size).members]
            lane = cell.o.p
        m.d.comb += [self.right[name].eq(lane[name]) for name in lane_layout(self.size).members]
        return m


class Grid(Component):
    """All rows, one below the other.

    Attributes:
        run: In: whether the array moves.
        head: In: what enters it, not yet skewed.
        below: Out: sums at the lower edge, skewed.
    """

    run: Any
    head: Any
    below: Any

    def __init__(self, size: ArraySize) -> None:
        """Make the ports."""
        self.size = size
        super().__init__({"run": In(1), "head": In(head_layout(size)), "below": Out(sums_layout(size))})

    def elaborate(self, platform: object) -> Module:
        """Operands and sums go from row to row; sums from above the array are zero."""
        m = Module()
        top: Any = Signal(top_layout(self.size))
        above: Any = Signal(sums_layout(self.size))
        for j, operand in enumerate(self.head.top):
            m.d.comb += top[j].eq(delayed(m, operand, j, self.run, f"column{j}"))
        for i, lane in enumerate(self.head.lanes):
            row: Any = Row(self.size)
            place(m, platform, row, f"row{i}", "systolic_row")
            m.d.comb += [
                row.run.eq(self.run),
                row.left.eq(delayed(m, lane, i, self.run, f"lane{i}")),
                row.top.eq(top),
                row.above.eq(above),
            ]
            top, above = row.down, row.below
        m.d.comb += self.below.eq(above)
        return m


def _cell(size: ArraySize) -> Any:
    if isinstance(size.cell, systolic_cell.SystolicCell):
        return SystolicCell(size.cell)
    if isinstance(size.cell, sparse24_cell.Sparse24Cell):
        return Sparse24Cell(size.cell)
    return SystolicFloatCell(size.cell)


def delayed(m: Module, value: Any, cycles: int, run: Value, name: str) -> Any:
    """A value of so many cycles ago, not counting those in which ``run`` was low; one shift register."""
    if cycles == 0:
        return value
    word = Value.cast(value)
    line = Signal(len(word) * cycles, name=name)
    with m.If(run):
        m.d.sync += line.eq(Cat(word, line))
    oldest = line[len(word) * (cycles - 1) :]
    return value.shape()(oldest) if isinstance(value, data.View) else oldest
