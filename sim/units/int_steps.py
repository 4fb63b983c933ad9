"""Sums of integer units taken step by step, tile by tile: where nothing about them could be proved.

``high`` is the largest sum, as a number of the sums' own type, float32 or float64. Marks are whole numbers of the same
width, 0 where a sum never left the range.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from siloom.sim.jit import kernel
from siloom.sim.units.int_tile import SATURATE, WRAP, int_tile
from siloom.sim.units.panels import Operand, pack
from siloom.sim.units.register_tile import ROWS, columns_of

Reals = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Wholes = npt.NDArray[np.int32] | npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@kernel
def _take_steps(
    a: Reals, a_at: int, b: Reals, count: int, before: Reals, after: Reals, marks: Wholes, at: int, row: int,
    high: float, saturate: bool,
) -> None:  # fmt: skip
    one = high / high
    size = high + high + one + one
    ends, turns = (-high - one, high, high), (one / size, one / (one + one), -size)
    kind, constants = (SATURATE, ends) if saturate else (WRAP, turns)
    int_tile(kind, a, a_at, b, 0, count, before, after, marks, at, row, constants)


@kernel
def step_all(total: Reals, sums: Reals, marks: Wholes, x: Operand, y: Operand, high: float, saturate: bool) -> int:
    """All sums (s, m, n) from 0, and how many left the range; ``sums`` and ``marks`` are room for one tile."""
    stack, rows, columns = total.shape
    lanes, count = columns_of(total.itemsize), x.shape[2]
    tiles = (rows + ROWS - 1) // ROWS
    a_panels, b_panel = np.empty(tiles * ROWS * count, total.dtype), np.empty(lanes * count, total.dtype)
    beyond = 0
    for s in range(stack):
        for tile in range(tiles):
            height = min(ROWS, rows - tile * ROWS)
            at = s * x.steps[0] + tile * ROWS * x.steps[1]
            pack(x.flat, at, x.steps[1], x.steps[2], height, ROWS, count, a_panels, tile * ROWS * count)
        for left in range(0, columns, lanes):
            width = min(lanes, columns - left)
            at = (0 if y.shape[0] == 1 else s) * y.steps[0] + left * y.steps[1]
            pack(y.flat, at, y.steps[1], y.steps[2], width, lanes, count, b_panel, 0)
            for tile in range(tiles):
                sums[:] = 0
                marks[:] = 0
                a_at = tile * ROWS * count
                _take_steps(a_panels, a_at, b_panel, count, sums, sums, marks, 0, lanes, high, saturate)
                # Zeros in the place of rows and columns that are not there leave no marks.
                for mark in marks:
                    beyond += mark != 0
                for i in range(min(ROWS, rows - tile * ROWS)):
                    row = total[s, tile * ROWS + i, left : left + width]
                    if width == lanes:  # a loop of known length is one store
                        for j in range(lanes):
                            row[j] = sums[i * lanes + j]
                    else:
                        for j in range(width):
                            row[j] = sums[i * lanes + j]
    return beyond


@kernel
def step_some(
    before: Reals,
    after: Reals,
    marks: Wholes,
    s: int,
    shape: tuple[int, int, int],
    x: Operand,
    y: Operand,
    start: int,
    stop: int,
    wanted: Flags,
    span: int,
    high: float,
    saturate: bool,
) -> None:
    """The sums ``after`` of the s-th product, from those ``before`` over k from ``start`` to ``stop``.

    Results are flat, of the ``shape`` (s, m, n). Only in the rows and columns of ``wanted`` (tiles of ROWS, spans of
    so many columns). Marks are kept and added to.
    """
    _, rows, columns = shape
    lanes, count = columns_of(after.itemsize), stop - start
    a_panels, b_panel = np.empty(len(wanted) * ROWS * count, after.dtype), np.empty(lanes * count, after.dtype)
    packed = np.zeros(len(wanted), np.bool_)
    edge, edge_marks = np.zeros(ROWS * lanes, after.dtype), np.zeros(ROWS * lanes, marks.dtype)
    b_at = (0 if y.shape[0] == 1 else s) * y.steps[0] + start * y.steps[2]
    a_at = s * x.steps[0] + start * x.steps[2]
    for left in range(0, columns, lanes):
        width, fresh = min(lanes, columns - left), True
        for tile in range(len(wanted)):
            if not wanted[tile, left // span]:
                continue
            top, panel = tile * ROWS, tile * ROWS * count
            height = min(ROWS, rows - top)
            if fresh:
                pack(y.flat, b_at + left * y.steps[1], y.steps[1], y.steps[2], width, lanes, count, b_panel, 0)
                fresh = False
            if not packed[tile]:
                pack(x.flat, a_at + top * x.steps[1], x.steps[1], x.steps[2], height, ROWS, count, a_panels, panel)
                packed[tile] = True
            at = (s * rows + top) * columns + left
            if height == ROWS and width == lanes:
                _take_steps(a_panels, panel, b_panel, count, before, after, marks, at, columns, high, saturate)
                continue
            for i in range(height):
                for j in range(width):
                    edge[i * lanes + j] = before[at + i * columns + j]
                    edge_marks[i * lanes + j] = marks[at + i * columns + j]
            _take_steps(a_panels, panel, b_panel, count, edge, edge, edge_marks, 0, lanes, high, saturate)
            for i in range(height):
                for j in range(width):
                    after[at + i * columns + j] = edge[i * lanes + j]
                    marks[at + i * columns + j] = edge_marks[i * lanes + j]
