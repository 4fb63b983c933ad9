"""Matrix products whose single products are read from a table, and whose sums saturate or wrap at every step.

Of short sums none can leave the range; else nothing can be proved from norms, as ``int_gemm`` does, and every step is
taken.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from siloom.sim.engine.arrays import u
from siloom.sim.jit import kernel
from siloom.sim.units.int_gemm import Sums

Codes = npt.NDArray[np.uint8]
Products = npt.NDArray[np.int32]


def table_gemm(
    a: npt.NDArray[np.float32], b: npt.NDArray[np.float32], table: npt.NDArray[np.int32], acc_bits: int, saturate: bool
) -> Sums:
    """A (s, m, k) times B (s or 1, k, n), codes from -127 to 127.

    Args:
        a: whole numbers of any strides.
        b: likewise.
        table: 256 x 256: what a times b gives stands at [a + 128, b + 128]; at most 2^30 in size.
        acc_bits: 2 to 32.
        saturate: else sums wrap.
    """
    values = np.empty((a.shape[0], a.shape[1], b.shape[2]), np.float64)
    x, y = ((np.ascontiguousarray(codes) + 128).astype(np.uint8) for codes in (a, b))
    half, flat = 1 << (acc_bits - 1), table.reshape(-1)
    if a.shape[2] * int(np.abs(table).max()) < half:
        _add(x, y, flat, values)
        return Sums(values, 0)
    return Sums(values, _step(x, y, flat, half, saturate, values))


@kernel
def _add(a: Codes, b: Codes, table: Products, values: npt.NDArray[np.float64]) -> None:
    stack, rows, inner = a.shape
    columns = b.shape[2]
    sums = np.empty(columns, np.int32)
    for s in range(stack):
        shared = s if b.shape[0] > 1 else 0
        for i in range(rows):
            sums[:] = 0
            for k in range(inner):
                line = np.uint64(a[s, i, k]) << np.uint64(8)
                row = b[shared, k]
                for j in range(columns):
                    sums[u(j)] += table[line + np.uint64(row[u(j)])]
            values[s, i] = sums


@kernel
def _step(a: Codes, b: Codes, table: Products, half: int, saturate: bool, values: npt.NDArray[np.float64]) -> int:
    stack, rows, inner = a.shape
    columns = b.shape[2]
    sums, left = np.empty(columns, np.int64), np.empty(columns, np.int64)
    beyond = 0
    for s in range(stack):
        shared = s if b.shape[0] > 1 else 0
        for i in range(rows):
            sums[:] = 0
            left[:] = 0
            for k in range(inner):
                line = np.uint64(a[s, i, k]) << np.uint64(8)
                row = b[shared, k]
                for j in range(columns):
                    free = sums[u(j)] + table[line + np.uint64(row[u(j)])]
                    kept = min(max(free, -half), half - 1) if saturate else ((free + half) & (2 * half - 1)) - half
                    left[u(j)] |= kept ^ free
                    sums[u(j)] = kept
            values[s, i] = sums
            for j in range(columns):
                beyond += left[j] != 0
    return beyond
