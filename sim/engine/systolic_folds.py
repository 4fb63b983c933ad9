"""Folds of a systolic array: how long one takes, how soon the next may follow, and whole GEMMs of them.

C[m, n] = A[m, k] B[k, n] on ``rows`` x ``cols`` cells is cut into folds, each as large as the array.
The dataflow says which two sizes lie across the array and which one streams through it:

=========  ========  ========  ==========  ===========================
dataflow   on rows   on cols   streams     stays in a fold's cells
=========  ========  ========  ==========  ===========================
os         m         n         k           sums of C
ws         k         n         m           a tile of B (weights)
is         k         m         n           a tile of A (inputs)
=========  ========  ========  ==========  ===========================

**The physical array.** Every cell has registered outputs; operands move one cell right, sums and
loaded operands one cell down each cycle, and row i and column j lag by i and j. Cycle 0 is the first
in which an operand stands at the array's edge; the run ends with the cycle in which the last result
stands at the lower edge. A fold uses the ``r`` top rows and the ``c`` left columns that it needs; its
results still pass the rows below them. With t the streamed length, a fold that begins at S

- os: multiplies from S on, and its last sum stands at the lower edge in cycle S + t + r + c + rows - 3;
- ws, is: has its r rows of operands shifted in during the r cycles before S, and its last sum stands at
  the lower edge in cycle S + t + rows + c - 2.

Folds follow one another without waiting for the array to empty:

- with two registers a cell (``double``: a second operand, or a second sum), the next fold begins
  max(t, r) cycles later, where r is the fold's that is shifted in (ws, is) or out (os);
- with one, t + r - 1 cycles later.

Sums of a k cut into several folds are added below the array, one adder a column.
Cells may hold ``stages`` registers between their operands and their adder. Sums still go down one cell a cycle, so
all of a fold's results come that many cycles later, and nothing else changes.
``siloom.sim.engine.systolic_cells`` simulates every register and proves these figures, exactly and
with nothing to spare.

**SCALE-Sim's array** (release 2.0.2 and 3.0.0, as measured): every fold is charged whole, edge or not,
and alone; see :func:`scalesim_cycles`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from siloom.sim.engine.cycles import MAX_COUNT
from siloom.sim.errors import InputError
from siloom.sim.jit import inline_kernel

Ints = NDArray[np.int64]

DATAFLOWS = ("os", "ws", "is")
OS, WS, IS = range(3)


class Counts(NamedTuple):
    """Cycles and words between the array and its three SRAMs."""

    cycles: Ints
    ifmap_reads: Ints
    filter_reads: Ints
    ofmap_writes: Ints


@inline_kernel
def interval(streamed: int, shifted: int, double: int) -> int:
    """Cycles from a fold's begin to the next one's: ``shifted`` rows go in, or out, beside or after."""
    if double:
        return max(streamed, shifted)
    return streamed + shifted - 1


@inline_kernel
def leaves(dataflow: int, rows: int, streamed: int, r: int, c: int) -> int:
    """Cycles from a fold's begin until its last result has left."""
    if dataflow == 0:
        return streamed + r + c + rows - 2
    return streamed + rows + c - 1


def across(dataflow: str | ArrayLike, m: ArrayLike, n: ArrayLike, k: ArrayLike) -> tuple[Ints, Ints, Ints]:
    """Sizes that lie on the rows, on the columns, and that stream."""
    code = dataflow_codes(dataflow)
    on_rows = np.where(code == OS, m, k)
    on_cols = np.where(code == IS, m, n)
    streamed = np.where(code == OS, k, np.where(code == WS, m, n))
    return on_rows, on_cols, streamed


def dataflow_codes(dataflow: str | ArrayLike) -> Ints:
    """``os``, ``ws``, ``is`` as numbers; numbers stay as they are.

    Raises:
        InputError: another word.
    """
    words = np.asarray(dataflow)
    if words.dtype.kind in "iu":
        return words.astype(np.int64)
    out = np.full(words.shape, -1, np.int64)
    for code, word in enumerate(DATAFLOWS):
        out[words == word] = code
    if (out < 0).any():
        raise InputError(f"systolic: dataflow must be one of {', '.join(DATAFLOWS)}, got {str(words[out < 0][0])!r}")
    return out


def _sizes(dataflow: str | ArrayLike, **sizes: ArrayLike) -> list[Ints]:
    """All arguments as int64, at least 1 and small enough that no count below can wrap."""
    codes = dataflow_codes(dataflow)
    arrays = {name: np.asarray(value, np.int64) for name, value in sizes.items()}
    for name, array in arrays.items():
        if array.size and array.min() < 1:
            raise InputError(f"systolic: {name} must be at least 1, got {array.min()}")
    wide = {name: array.astype(np.float64) for name, array in arrays.items()}
    # The largest of all counts: every fold at its full length, in a batch.
    up = {name: wide[name] + 1.0 for name in ("m", "n", "k")}
    rows, cols = wide["rows"], wide["cols"]
    folds = np.where(codes == OS, up["m"], up["k"]) / rows + 1.0
    columns = np.where(codes == IS, up["m"], up["n"]) / cols + 1.0
    streamed = np.where(codes == OS, up["k"], np.where(codes == WS, up["m"], up["n"]))
    longest = streamed + 2.0 * rows + cols
    least = np.minimum(rows, cols)
    words = up["m"] * up["n"] * up["k"] * (1.0 / least + 1.0 / wide["m"] + 1.0 / wide["n"] + 1.0 / wide["k"])
    bound = wide.get("batch", np.float64(1)) * (folds * columns * longest + words)
    if bound.size and bound.max() >= MAX_COUNT:
        raise InputError(f"systolic: a run may take {bound.max():.3g} cycles or words, it must stay below 2^62")
    return [codes, *arrays.values()]


def scalesim_cycles(
    dataflow: str | ArrayLike, rows: ArrayLike, cols: ArrayLike, m: ArrayLike, n: ArrayLike, k: ArrayLike
) -> Counts:
    """SCALE-Sim's stall-free cycles and SRAM counts (words), to the digit; all arguments broadcast.

    With F = folds, each fold takes rows + cols + t - 2 cycles (os) or 2 rows + cols + t - 2 (ws, is), edge
    folds as many as whole ones, none overlapping another; the total is the index of the last cycle, so 1
    less than their number. Output-stationary sums are never charged their way out, and their writes are
    rows + cols too many a fold. Sums read back for a cut k are not counted.

    Source: releases 2.0.2 and 3.0.0, read and run; equal on every stall-free run measured.

    Raises:
        InputError: a size below 1, an unknown dataflow, counts beyond 2^62.
    """
    code, rows_, cols_, m_, n_, k_ = _sizes(dataflow, rows=rows, cols=cols, m=m, n=n, k=k)
    on_rows, on_cols, streamed = across(code, m_, n_, k_)
    down, over = -(-on_rows // rows_), -(-on_cols // cols_)
    folds = down * over
    loads = np.where(code == OS, 0, rows_)
    return Counts(
        cycles=folds * (loads + rows_ + cols_ + streamed - 2) - 1,
        ifmap_reads=m_ * k_ * np.where(code == IS, 1, over),
        filter_reads=k_ * n_ * np.where(code == WS, 1, np.where(code == OS, down, over)),
        ofmap_writes=m_ * n_ * np.where(code == OS, 1, down) + np.where(code == OS, folds * (rows_ + cols_), 0),
    )


def array_cycles(
    dataflow: str | ArrayLike,
    rows: ArrayLike,
    cols: ArrayLike,
    m: ArrayLike,
    n: ArrayLike,
    k: ArrayLike,
    batch: ArrayLike = 1,
    double: ArrayLike = True,
    stages: ArrayLike = 0,
) -> Ints:
    """Cycles of the physical array alone, in closed form: operands always there, results always taken.

    Folds run down the rows first, then over the columns, then through the batch. All arguments broadcast.

    Raises:
        InputError: a size below 1, an unknown dataflow, counts beyond 2^62.
    """
    code, rows_, cols_, m_, n_, k_, batch_ = _sizes(dataflow, rows=rows, cols=cols, m=m, n=n, k=k, batch=batch)
    two = np.asarray(double, bool)
    on_rows, on_cols, t = across(code, m_, n_, k_)
    down, over = -(-on_rows // rows_), -(-on_cols // cols_)
    last_r, last_c = on_rows - (down - 1) * rows_, on_cols - (over - 1) * cols_
    first_r = np.minimum(rows_, on_rows)

    def apart(shifted: Ints) -> Ints:
        return np.where(two, np.maximum(t, shifted), t + shifted - 1)

    def out(c: Ints) -> Ints:
        return np.where(code == OS, t + last_r + c + rows_ - 2, t + rows_ + c - 1)

    # One interval a fold, less one: that into the first (ws, is) or out of the last (os).
    column = (down - 1) * apart(rows_) + apart(last_r)
    begun = batch_ * over * column - apart(np.where(code == OS, last_r, first_r))
    # A narrow last column of folds may leave before the wider one ahead of it.
    tail = np.maximum(out(last_c), np.where(over > 1, out(cols_) - column, 0))
    total: Ints = np.where(code == OS, 0, first_r) + begun + tail + np.asarray(stages, np.int64)
    return total
