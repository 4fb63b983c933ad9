"""Row-wise (Gustavson) sparse products: count, then fill.

Each row of the result is gathered in a dense array as wide as B: the symbolic pass counts the
distinct columns, the numeric pass adds the products up. Columns of a result row come out in order
of first touch, as scipy leaves them. One thread; rows could be split, the arrays are per row.

What it does not do: check indices (callers hand over canonical matrices), prune zero sums.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from siloom.sim.jit import kernel

Index = NDArray[np.int64]
Reals = NDArray[np.float64]


@kernel
def count(rows: int, cols: int, a_ptr: Index, a_idx: Index, b_ptr: Index, b_idx: Index) -> tuple[Index, Index]:
    """Products and distinct results of each row of C = A B, both [rows].

    ``rows`` of A, ``cols`` of B; ``cols`` words of scratch.
    """
    products = np.zeros(rows, np.int64)
    results = np.zeros(rows, np.int64)
    seen_by = np.full(cols, -1, np.int64)
    for i in range(rows):
        made = 0
        distinct = 0
        for e in range(a_ptr[i], a_ptr[i + 1]):
            k = a_idx[e]
            made += b_ptr[k + 1] - b_ptr[k]
            for f in range(b_ptr[k], b_ptr[k + 1]):
                j = b_idx[f]
                if seen_by[j] != i:
                    seen_by[j] = i
                    distinct += 1
        products[i] = made
        results[i] = distinct
    return products, results


@kernel
def fill(
    rows: int,
    cols: int,
    a_ptr: Index,
    a_idx: Index,
    a_val: Reals,
    b_ptr: Index,
    b_idx: Index,
    b_val: Reals,
    c_ptr: Index,
    c_idx: Index,
    c_val: Reals,
) -> None:
    """Write the columns and values of C = A B into ``c_idx`` and ``c_val`` at the places of ``c_ptr``."""
    where = np.full(cols, -1, np.int64)
    for i in range(rows):
        start = c_ptr[i]
        end = start
        for e in range(a_ptr[i], a_ptr[i + 1]):
            k = a_idx[e]
            scale = a_val[e]
            for f in range(b_ptr[k], b_ptr[k + 1]):
                j = b_idx[f]
                # Places of earlier rows lie below this row's start: no clearing between rows.
                if where[j] < start:
                    where[j] = end
                    c_idx[end] = j
                    c_val[end] = scale * b_val[f]
                    end += 1
                else:
                    c_val[where[j]] += scale * b_val[f]


@kernel
def times_dense(rows: int, n: int, a_ptr: Index, a_idx: Index, a_val: Reals, b: Reals, c: Reals) -> None:
    """C[rows, n] = A B[cols, n]; ``c`` is overwritten."""
    for i in range(rows):
        for j in range(n):
            c[i, j] = 0.0
        for e in range(a_ptr[i], a_ptr[i + 1]):
            k = a_idx[e]
            scale = a_val[e]
            for j in range(n):
                c[i, j] += scale * b[k, j]


@kernel
def sampled(rows: int, k: int, m_ptr: Index, m_idx: Index, x: Reals, y_rows: Reals, c_val: Reals) -> None:
    """``c_val[e]`` = X[i] . Y[:, j] at each mask position e = (i, j); ``y_rows`` [cols, k] is Y transposed."""
    for i in range(rows):
        for e in range(m_ptr[i], m_ptr[i + 1]):
            j = m_idx[e]
            total = 0.0
            for d in range(k):
                total += x[i, d] * y_rows[j, d]
            c_val[e] = total


@kernel
def lines_from_beyond(a_idx: Index, b_ptr: Index, element_bytes: int, line_bytes: int, caches: Index) -> Index:
    """Lines of B's rows that a cache of each size in ``caches`` [levels] does not still hold, [levels].

    A row is taken as gone once more than the cache's bytes of B were gathered since its last use;
    repeats within the gap make this an upper bound of what least-recently-used loses. First uses count.
    """
    levels = len(caches)
    lines = np.zeros(levels, np.int64)
    used_at = np.full(len(b_ptr) - 1, -1, np.int64)
    clock = np.int64(0)
    for e in range(len(a_idx)):
        k = a_idx[e]
        size = element_bytes * (b_ptr[k + 1] - b_ptr[k])
        for level in range(levels):
            if used_at[k] < 0 or clock - used_at[k] > caches[level]:
                lines[level] += (size + line_bytes - 1) // line_bytes
        clock += size
        used_at[k] = clock
    return lines
