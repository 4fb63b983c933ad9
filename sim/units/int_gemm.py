"""Matrix products as an array of integer ``mac`` units gives them, bit by bit, at the speed of the host.

``C[i, j]`` is one unit's sum of ``A[i, k] * B[k, j]`` in the order k = 0, 1, 2, ..., from 0, which saturates or wraps
at every step. Codes and sums are whole numbers held in floating point, which is exact here and what the host multiplies
fastest.

Most sums never come near the ends of their range, and that can be proved without taking the steps. k is cut into
chunks, and a chunk's exact sum G is found by a BLAS in any order. Let t be the sum before and u = t + G that after it.
Then every sum S in between has ``2|S| <= |t + u| + |a||b|``: S - t and u - S together are the chunk's products, whose
sizes add up to at most the norm of A's chunk times that of B's (Cauchy and Schwarz). Where this is at most twice the
end of the range, u is what the steps give. Only tiles with a result for which it is not are computed step by step, from
their t; so it goes on from chunk to chunk with what the register really holds.

The BLAS is exact in single precision while the products' sizes add up to less than 2**24, whatever its order.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from siloom.sim.jit import kernel
from siloom.sim.units.int_steps import Reals, Wholes, step_all, step_some
from siloom.sim.units.mac import Mac
from siloom.sim.units.panels import Operand, operand
from siloom.sim.units.register_tile import ROWS, columns_of

Singles = npt.NDArray[np.float32]

_GROUP = 64
"""Chunks are multiples of this: shorter ones would cost more passes over the result than they prove."""
_SPAN = 16
"""Results of a row that are proved together: the columns of a tile of single precision."""
_EXACT = 1 << 24
_DOUBT = 1 + 2.0**-20
"""Norms are found, multiplied and compared with less than this relative error."""


class Sums(NamedTuple):
    """The sums (s, m, n), of single precision where that holds them, and how many ever left the range."""

    values: Reals
    beyond: int


def int_gemm(a: Singles, b: Singles, design: Mac) -> Sums:
    """A (s, m, k) times B (s or 1, k, n), whole numbers of ``design``'s widths without their most negative ones.

    Operands may have any strides; A's and B's numbers are not checked.

    Raises:
        ValueError: shapes that do not fit; an accumulator that one product could overflow, or beyond 53 bits.
    """
    if a.ndim != 3 or b.ndim != 3 or a.shape[2] != b.shape[1] or b.shape[0] not in (1, a.shape[0]):
        raise ValueError(f"int_gemm: shapes must be (s, m, k) and (s or 1, k, n), got {a.shape} and {b.shape}")
    largest = ((1 << (design.a_bits - 1)) - 1) * ((1 << (design.b_bits - 1)) - 1)
    high = (1 << (design.acc_bits - 1)) - 1
    if largest > high or high + largest >= 1 << 53:
        raise ValueError(f"int_gemm: acc_bits must hold one product and be at most 53, got {design.acc_bits}")
    inner = a.shape[2]
    if inner * largest <= min(high, _EXACT - 1):
        return Sums(np.matmul(a, b), 0)
    return _in_chunks(a, b, largest, high, design)


def _in_chunks(a: Singles, b: Singles, largest: int, high: int, design: Mac) -> Sums:
    inner, shape = a.shape[2], (a.shape[0], a.shape[1], b.shape[2])
    single = high + 1 + largest <= _EXACT
    kind: Any = np.float32 if single else np.float64
    whole: Any = np.int32 if single else np.int64
    x, y = operand(a), operand(b.transpose(0, 2, 1))
    end, saturate = kind(high), design.overflow == "saturate"
    squares = _squares(a), _squares(b.transpose(0, 2, 1))
    most = float(np.sqrt(np.prod([found.sum(1).max(initial=0) for found in squares]))) * _DOUBT
    if most <= min(high, _EXACT - 1):
        return Sums(np.matmul(a, b), 0)
    chunk = _chunk(*squares, inner, inner if most < _EXACT else (_EXACT - 1) // largest, high)
    if chunk == 0:
        total, tile = np.empty(shape, kind), ROWS * columns_of(np.dtype(kind).itemsize)
        return Sums(total, step_all(total, np.empty(tile, kind), np.empty(tile, whole), x, y, end, saturate))
    total, marks = np.zeros(math.prod(shape), kind), np.zeros(math.prod(shape), whole)
    for start in range(0, inner, chunk):
        stop = min(start + chunk, inner)
        part = np.matmul(a[:, :, start:stop], b[:, start:stop, :]).astype(kind, copy=False)
        groups = slice(start // _GROUP, -(-stop // _GROUP))
        a_norms, b_norms = ((np.sqrt(found[:, groups].sum(1)) * _DOUBT).astype(kind) for found in squares)
        part = part.reshape(-1)
        _advance(total, part, marks, shape, x, y, start, stop, a_norms, b_norms, end, saturate)
        total = part
    return Sums(total.reshape(shape), int(np.count_nonzero(marks)))


def _squares(x: Singles) -> npt.NDArray[np.float64]:
    """Sums of squares over each group of k, (s, groups, lines), of an operand (s, lines, k)."""
    groups = -(-x.shape[2] // _GROUP)
    found = np.empty((x.shape[0], groups, x.shape[1]))
    for g in range(groups):
        part = x[:, :, g * _GROUP : (g + 1) * _GROUP]
        found[:, g] = np.einsum("slk,slk->sl", part, part)
    return found


def _chunk(
    a_squares: npt.NDArray[np.float64], b_squares: npt.NDArray[np.float64], inner: int, exact: int, high: int
) -> int:
    """How many k to prove at a time: as many as leave most results likely to be proved; 0 where too few are."""
    usual = float(np.sqrt(a_squares.sum(1).mean() * b_squares.sum(1).mean()))
    likely = inner if usual <= high else int(inner * high / usual)
    few = min(exact, likely)
    return inner if few == inner else few // _GROUP * _GROUP


@kernel
def _advance(
    total: Reals,
    part: Reals,
    marks: Wholes,
    shape: tuple[int, int, int],
    x: Operand,
    y: Operand,
    start: int,
    stop: int,
    a_norms: Reals,
    b_norms: Reals,
    high: float,
    saturate: bool,
) -> None:
    """One chunk of k: ``part``, its exact sums, becomes the sums after it; ``total`` holds those before.

    All results are flat, of the ``shape`` (s, m, n).
    """
    stack, rows, columns = shape
    tiles = (rows + ROWS - 1) // ROWS
    doubtful = np.empty((tiles, (columns + _SPAN - 1) // _SPAN), np.bool_)
    for s in range(stack):
        again = False
        t = 0 if y.shape[0] == 1 else s
        for tile in range(tiles):
            for span in range(doubtful.shape[1]):
                left, width = span * _SPAN, min(_SPAN, columns - span * _SPAN)
                doubts = 0
                for i in range(tile * ROWS, min(tile * ROWS + ROWS, rows)):
                    at, a_norm = (s * rows + i) * columns + left, a_norms[s, i]
                    for j in range(width):
                        before, after = total[at + j], total[at + j] + part[at + j]
                        part[at + j] = after
                        doubts += 1 if abs(before + after) + a_norm * b_norms[t, left + j] > high + high else 0
                doubtful[tile, span] = doubts > 0
                again |= doubts > 0
        if again:
            step_some(total, part, marks, s, shape, x, y, start, stop, doubtful, _SPAN, high, saturate)
