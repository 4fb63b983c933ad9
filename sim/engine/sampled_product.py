"""A sampled product on an outer-product machine: lay out the mask and both sides, compute, check.

C = X Y at the mask's positions runs in the multiply phase alone, as dot products: the mask takes the
place of A, Y transposed that of B, X is the second operand; see :mod:`.outer_multiply`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from siloom.sim.engine import gustavson
from siloom.sim.engine.dram import DramTiming
from siloom.sim.engine.outer_multiply import ELEMENT_BYTES, LINK_BYTES, OuterOperands, TileArray
from siloom.sim.engine.outer_product import MOST_CYCLES, PAGE, by_columns
from siloom.sim.errors import InputError
from siloom.sim.sparse import Csr

Reals = NDArray[np.float64]

MASK_BYTES = 4
"""An index; a mask has no values."""
MOST_BYTES = 2**60


def lay_out_sampled(mask: Csr, k: int) -> OuterOperands:
    """Place the mask (by columns), Y transposed, X and the results: 12-byte elements, rows of ``k``.

    Results lie in the order of the mask's rows, 12 bytes each.
    """
    ptr, rows, order = by_columns(mask.shape[1], mask.indptr, mask.indices)
    sizes = (MASK_BYTES * mask.nnz, LINK_BYTES * len(ptr), *(ELEMENT_BYTES * k * side for side in mask.shape[::-1]))
    starts = [0]
    for size in sizes:
        starts.append(starts[-1] + -(-size // PAGE) * PAGE)
    base, pointers, y, x, results = starts
    return OuterOperands(
        a_ptr=ptr,
        a_rows=rows,
        b_ptr=np.arange(len(ptr), dtype=np.int64) * k,
        chunk_at=results + order * ELEMENT_BYTES,
        a_base=base,
        b_base=y,
        a_pointers=pointers,
        b_pointers=-1,
        lists=-1,
        a_element=MASK_BYTES,
        second=x,
    )


def check_sampled_size(mask: Csr, k: int, shape: TileArray, timing: DramTiming) -> None:
    """Refuse work whose addresses or cycles could leave the counters' range.

    Raises:
        InputError: the dense sides exceed 2^60 bytes, or the worst case of one PE doing all the work
            2^47 cycles.
    """
    size = ELEMENT_BYTES * k * sum(mask.shape)
    if size >= MOST_BYTES:
        raise InputError(f"sddmm: x and y must hold below 2^60 bytes, got {size}; nothing was simulated")
    # A request a block of either row, and the result's.
    requests = 2 * ((ELEMENT_BYTES * k >> shape.block_bits) + 2) + 1
    each = timing.latency + timing.activate + timing.row_cycle + timing.refresh + math.ceil(8 * timing.burst)
    if mask.nnz * (shape.dispatch + k * shape.element + requests * each) >= MOST_CYCLES:
        raise InputError(
            f"sddmm: {mask.nnz} positions of {k} elements could take 2^47 cycles or more; nothing was simulated"
        )


def sampled_product(mask: Csr, k: int, x: Reals | None, y: Reals | None) -> tuple[Csr, float]:
    """X Y at the mask's positions, and the largest relative error of a row's sum.

    ``x`` [rows, k] and ``y`` [k, cols]; an absent side is all ones. The mask's values do not scale.
    A row's sum must equal X times the sum of the columns of Y that the row keeps.

    Raises:
        InputError: an entry of ``x`` or ``y`` that is not finite.
        ArithmeticError: a row that does not agree: a defect of the simulator.
    """
    left, right = _sides(mask.shape, k, x, y)
    values = np.empty(mask.nnz)
    gustavson.sampled(mask.shape[0], left.shape[1], mask.indptr, mask.indices, left, right, values)
    kept = Csr(mask.shape, mask.indptr, mask.indices, np.ones(mask.nnz)).to_scipy()
    sums = np.bincount(np.repeat(np.arange(mask.shape[0]), mask.row_lengths), values, mask.shape[0])
    expected = (left * (kept @ right)).sum(axis=1)
    scale = (abs(left) * (kept @ abs(right))).sum(axis=1)
    error = np.abs(sums - expected) / np.where(scale > 0, scale, 1.0)
    worst = float(error.max(initial=0.0))
    if not worst <= 1e-9:
        raise ArithmeticError(f"row {int(error.argmax())} differs from the sum over its mask by {worst:.2e}")
    return Csr(mask.shape, mask.indptr, mask.indices, values), worst


def _sides(shape: tuple[int, int], k: int, x: Reals | None, y: Reals | None) -> tuple[Reals, Reals]:
    """X and Y transposed, one element deep where a side is all ones: that sums over the other's k."""
    for name, side in (("x", x), ("y", y)):
        if side is not None and not np.isfinite(side).all():
            raise InputError(f"sddmm: {name} must be finite")
    if x is not None and y is not None:
        return np.ascontiguousarray(x, np.float64), np.ascontiguousarray(y.T, np.float64)
    left, right = np.ones((shape[0], 1)), np.ones((shape[1], 1))
    if x is not None:
        left = np.asarray(x, np.float64).sum(axis=1, keepdims=True)
    elif y is not None:
        right = np.asarray(y, np.float64).sum(axis=0)[:, None]
    else:
        left *= k
    return left, right
