"""What travels inside a systolic machine: jobs, folds, and a beat of the array's edges before it is skewed."""

from __future__ import annotations

from amaranth.lib import data

from siloom.rtl.machines._systolic_size import LENGTH_BITS, ArraySize
from siloom.rtl.twin import layout
from siloom.sim.units.systolic_cell import contract


def job_layout() -> data.StructLayout:
    """A product of ``m`` x ``k`` and ``k`` x ``n``; each size is at least 1."""
    return data.StructLayout({"m": LENGTH_BITS, "n": LENGTH_BITS, "k": LENGTH_BITS})


def fold_layout(size: ArraySize) -> data.StructLayout:
    """A fold: rows and columns in use, length of what streams, and whether its sums are the first and the last of C."""
    return data.StructLayout(
        {
            "rows": range(size.rows + 1),
            "cols": range(size.cols + 1),
            "streamed": LENGTH_BITS,
            "opens": 1,
            "closes": 1,
        }
    )


def lane_layout(size: ArraySize) -> data.StructLayout:
    """What enters a row from the left in a cycle: a factor and the cell's flags."""
    beat = layout(contract(size.cell).inputs).members
    return data.StructLayout({name: beat[name] for name in ("a", "first", "last", "shift")})


def top_layout(size: ArraySize) -> data.ArrayLayout:
    """What enters all columns from above: a factor, or an operand on its way to its cell."""
    return data.ArrayLayout(layout(contract(size.cell).inputs).members["b"], size.cols)


def sums_layout(size: ArraySize) -> data.ArrayLayout:
    """A sum of every column."""
    return data.ArrayLayout(layout(contract(size.cell).inputs).members["psum"], size.cols)


def left_layout(size: ArraySize) -> data.ArrayLayout:
    """A factor of every row."""
    return data.ArrayLayout(layout(contract(size.cell).inputs).members["a"], size.rows)


def note_layout(size: ArraySize) -> data.StructLayout:
    """What is known of a row of results: whether there is one, in how many columns, and what to do with it.

    ``starts``: it is the first of its fold; ``opens`` and ``closes`` are the fold's.
    """
    return data.StructLayout({"valid": 1, "cols": range(size.cols + 1), "starts": 1, "opens": 1, "closes": 1})


def head_layout(size: ArraySize) -> data.StructLayout:
    """All that enters the array in a cycle, before row i and column j are delayed by i and j.

    ``note`` is of the row of results that stands at the lower edge, skewed too, ``rows`` cycles later.
    """
    return data.StructLayout(
        {
            "lanes": data.ArrayLayout(lane_layout(size), size.rows),
            "top": top_layout(size),
            "note": note_layout(size),
        }
    )
