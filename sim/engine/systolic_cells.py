"""Every register of a systolic array, cycle by cycle, on real integers: the proof of ``systolic_folds``.

The array is made of the ``systolic_cell`` unit's own step. Operands and flags stand at its left and upper edge in
the cycles that :func:`edges` says, nothing else steers it; what the lower edge shows is collected, and sums of a
cut k are added there. An RTL array given the same edges must show the same lower edge.

Idle beats at the left edge are zero, as the unit asks. Where nothing may be read, at the upper edge and, for
output-stationary arrays, in the sums from above, junk is driven, so that a value taken too early or too late
is wrong.

For small sizes: time grows with cells times cycles.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from siloom.sim.errors import InputError
from siloom.sim.jit import kernel
from siloom.sim.units.systolic_cell import cell_step

Ints = NDArray[np.int64]

_ACC_BITS = 64
_JUNK = 1_000_003


class Fold(NamedTuple):
    """A fold: the first of its rows and columns, how many, and the cycle in which its first operand enters."""

    row: int
    col: int
    r: int
    c: int
    begin: int


class Edges(NamedTuple):
    """What stands at the edges, by cycle.

    ``left`` (cycles, rows, 4): a, first, last, shift; ``top`` (cycles, cols): b; ``above``: psum. ``taken`` holds for
    each result (cycle, column, row of C, column of C).
    """

    left: Ints
    top: Ints
    above: Ints
    taken: Ints


class Ran(NamedTuple):
    """The product, and the cycles from the first operand in to the last result out."""

    product: Ints
    cycles: int


def fold_list(dataflow: str, rows: int, cols: int, m: int, n: int, k: int, double: bool) -> list[Fold]:
    """All folds of a product, each begun as soon as the array allows."""
    on_rows, on_cols, streamed = {"os": (m, n, k), "ws": (k, n, m), "is": (k, m, n)}[dataflow]
    out: list[Fold] = []
    for col in range(0, on_cols, cols):
        for row in range(0, on_rows, rows):
            r, c = min(rows, on_rows - row), min(cols, on_cols - col)
            if not out:
                begin = 0 if dataflow == "os" else r
            else:
                shifted = out[-1].r if dataflow == "os" else r
                begin = out[-1].begin + (max(streamed, shifted) if double else streamed + shifted - 1)
            out.append(Fold(row, col, r, c, begin))
    return out


def edges(dataflow: str, rows: int, cols: int, a: Ints, b: Ints, folds: list[Fold]) -> Edges:
    """The cycles in which every operand and flag stands at the edges.

    Raises:
        ValueError: two folds that want one place at the same time.
    """
    m, k = a.shape
    n = b.shape[1]
    streamed = {"os": k, "ws": m, "is": n}[dataflow]
    length = max(f.begin for f in folds) + streamed + 3 * rows + 2 * cols
    left = np.zeros((length, rows, 4), np.int64)
    top = np.zeros((length, cols), np.int64)
    used_left = np.zeros((length, rows), bool)
    used_top = np.zeros((length, cols), bool)
    taken: list[tuple[int, int, int, int]] = []

    def claim(used: NDArray[np.bool_], cycle: int, lane: int) -> None:
        if cycle < 0 or used[cycle, lane]:
            raise ValueError(f"two folds want lane {lane} of an edge in cycle {cycle}")
        used[cycle, lane] = True

    for f in folds:
        for i in range(f.r):
            for t in range(streamed):
                claim(used_left, f.begin + i + t, i)
                if dataflow == "is":
                    operand = b[f.row + i, t]
                else:
                    operand = a[f.row + i, t] if dataflow == "os" else a[t, f.row + i]
                left[f.begin + i + t, i, 0] = operand
            # Sums start with their first product; an operand that stays is taken a cycle before it.
            left[f.begin + i - (dataflow != "os"), i, 1] = 1
            left[f.begin + i + streamed - 1, i, 2] = 1
        if dataflow == "os":
            for j in range(f.c):
                for t in range(streamed):
                    claim(used_top, f.begin + j + t, j)
                    top[f.begin + j + t, j] = b[t, f.col + j]
            # Sums go down together once the lowest is ready; a row passes on those of the rows above it.
            drains = f.begin + streamed + f.r - 1
            for i in range(1, rows):
                left[drains + max(0, i - f.r) : drains + i, i, 3] = 1
            taken += [(drains + j + rows - 1 - i, j, f.row + i, f.col + j) for i in range(f.r) for j in range(f.c)]
            continue
        loads = f.begin - f.r
        for j in range(f.c):
            for i in range(f.r):
                claim(used_top, loads + j + f.r - 1 - i, j)
                stays = b[f.row + i, f.col + j] if dataflow == "ws" else a[f.col + j, f.row + i]
                top[loads + j + f.r - 1 - i, j] = stays
        for i in range(f.r):
            left[loads + i : loads + f.r, i, 3] = 1
        for t in range(streamed):
            for j in range(f.c):
                place = (t, f.col + j) if dataflow == "ws" else (f.col + j, t)
                taken.append((f.begin + t + rows + j, j, *place))
    junk = _JUNK + np.arange(top.size).reshape(top.shape)
    above = junk if dataflow == "os" else np.zeros_like(top)
    return Edges(left, np.where(used_top, top, junk), above, np.array(taken, np.int64))


@kernel
def run_cells(left: Ints, top: Ints, above: Ints, keeps_sum: bool, double: bool) -> Ints:
    """Clock the array over all cycles: what its lower edge shows in each; (cycles, cols)."""
    length, rows, _ = left.shape
    cols = top.shape[1]
    right = np.zeros((rows, cols, 4), np.int64)  # a and the flags, as each cell shows them
    down = np.zeros((rows, cols, 2), np.int64)  # b and psum
    held = np.zeros((rows, cols), np.int64)
    moving = np.zeros((rows, cols), np.int64)
    shown = np.zeros((length, cols), np.int64)
    for now in range(length):
        shown[now] = down[rows - 1, :, 1]
        # From the lower right, so that a cell still sees what its neighbours showed before the clock's edge.
        for i in range(rows - 1, -1, -1):
            for j in range(cols - 1, -1, -1):
                a, first, last, shift = left[now, i] if j == 0 else right[i, j - 1]
                b = top[now, j] if i == 0 else down[i - 1, j, 0]
                psum = above[now, j] if i == 0 else down[i - 1, j, 1]
                held[i, j], moving[i, j], down[i, j, 0], down[i, j, 1] = cell_step(
                    keeps_sum, double, _ACC_BITS, held[i, j], moving[i, j], a, b, psum, first, last, shift
                )
                right[i, j, 0] = a
                right[i, j, 1] = first
                right[i, j, 2] = last
                right[i, j, 3] = shift
    return shown


def multiply(
    dataflow: str, rows: int, cols: int, a: Ints, b: Ints, *, double: bool = True, folds: list[Fold] | None = None
) -> Ran:
    """A times B on an array of cells, register by register.

    Args:
        dataflow: ``os``, ``ws`` or ``is``.
        rows: cells down.
        cols: cells across.
        a: integers (m, k).
        b: integers (k, n).
        double: whether cells have the second register.
        folds: when each fold begins; None: as soon as the array allows.

    Raises:
        InputError: operands that do not conform.
        ValueError: folds that want one place at the same time.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0] or 0 in (*a.shape, *b.shape):
        raise InputError(f"systolic: operands must be m x k and k x n, got {a.shape} and {b.shape}")
    m, k, n = *a.shape, b.shape[1]
    begun = fold_list(dataflow, rows, cols, m, n, k, double) if folds is None else folds
    edge = edges(dataflow, rows, cols, a.astype(np.int64), b.astype(np.int64), begun)
    shown = run_cells(edge.left, edge.top, edge.above, dataflow == "os", double)
    product = np.zeros((m, n), np.int64)
    cycle, lane, row, col = edge.taken.T
    np.add.at(product, (row, col), shown[cycle, lane])
    return Ran(product, int(cycle.max()) + 1)
