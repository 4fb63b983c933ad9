"""What travels inside a systolic machine: jobs, folds, and a beat of the array's edges before it is skewed."""

from __future__ import annotations

from amaranth.hdl import ShapeLike
from amaranth.lib import data

from siloom.rtl.machines._systolic_size import LENGTH_BITS, ArraySize
from siloom.rtl.twin import layout


def job_layout() -> data.StructLayout:
    """A product of ``m`` x ``k`` and ``k`` x ``n``; each size is at least 1."""
    return data.StructLayout({"m": LENGTH_BITS, "n": LENGTH_BITS, "k": LENGTH_BITS})


def fold_layout(size: ArraySize) -> data.StructLayout:
    """A fold: rows and columns in use, and the length of what streams.

    Where k may be cut into several, whether its sums are the first parts of C's, and the last ones.
    """
    members: dict[str, ShapeLike] = {"rows": range(size.rows + 1), "cols": range(size.cols + 1)}
    return data.StructLayout(members | {"streamed": LENGTH_BITS} | _parts(size))


def note_layout(size: ArraySize) -> data.StructLayout:
    """What is known of a row of results: whether there is one, and in how many columns.

    Where k may be cut, what the fold says of that.
    """
    members: dict[str, ShapeLike] = {"valid": 1, "cols": range(size.cols + 1)}
    return data.StructLayout(members | _parts(size))


def lane_layout(size: ArraySize) -> data.StructLayout:
    """What enters a row from the left in a cycle: a factor and the cell's flags."""
    beat = layout(size.contract.inputs).members
    return data.StructLayout({name: shape for name, shape in beat.items() if name not in ("b", "psum")})


def left_layout(size: ArraySize) -> data.ArrayLayout:
    """A factor of every row."""
    return _lanes(size, "a", size.rows)


def top_layout(size: ArraySize) -> data.ArrayLayout:
    """What enters all columns from above: a factor, or an operand on its way to its cell."""
    return _lanes(size, "b", size.cols)


def sums_layout(size: ArraySize) -> data.ArrayLayout:
    """A sum of every column."""
    return _lanes(size, "psum", size.cols)


def head_layout(size: ArraySize) -> data.StructLayout:
    """All that enters the array in a cycle, before row i and column j are delayed by i and j."""
    return data.StructLayout({"lanes": data.ArrayLayout(lane_layout(size), size.rows), "top": top_layout(size)})


def _lanes(size: ArraySize, port: str, count: int) -> data.ArrayLayout:
    return data.ArrayLayout(layout(size.contract.inputs).members[port], count)


def _parts(size: ArraySize) -> dict[str, ShapeLike]:
    return {"opens": 1, "closes": 1} if size.depth else {}
