"""The row-wise product kernels against scipy and plain Python."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from siloom.sim.engine import gustavson
from siloom.sim.sparse import Csr


def drawn(rows: int, cols: int, density: float, seed: int) -> Csr:
    rng = np.random.default_rng(seed)
    dense = np.where(rng.random((rows, cols)) < density, rng.integers(1, 9, (rows, cols)), 0)
    return Csr.from_scipy(sp.csr_array(dense.astype(float)))


shapes = st.tuples(st.integers(1, 30), st.integers(1, 30), st.integers(1, 30), st.floats(0, 1), st.integers(0, 99))


@settings(derandomize=True, max_examples=60, deadline=None)
@given(shapes)
def test_count_and_fill_equal_scipy(shape: tuple[int, int, int, float, int]) -> None:
    m, k, n, density, seed = shape
    a, b = drawn(m, k, density, seed), drawn(k, n, density, seed + 1)
    products, results = gustavson.count(m, n, a.indptr, a.indices, b.indptr, b.indices)
    # Positive integers never cancel, so scipy's stored entries are the structural ones.
    expected = a.to_scipy() @ b.to_scipy()
    assert results.tolist() == np.diff(expected.indptr).tolist()
    assert products.tolist() == [int(b.row_lengths[a.indices[a.indptr[i] : a.indptr[i + 1]]].sum()) for i in range(m)]
    c_ptr = np.concatenate([[0], np.cumsum(results)]).astype(np.int64)
    c_idx, c_val = np.empty(c_ptr[-1], np.int64), np.empty(c_ptr[-1])
    gustavson.fill(m, n, a.indptr, a.indices, a.data, b.indptr, b.indices, b.data, c_ptr, c_idx, c_val)
    got = sp.csr_array((c_val, c_idx, c_ptr), shape=(m, n))
    assert np.array_equal(got.toarray(), expected.toarray())


@settings(derandomize=True, max_examples=30, deadline=None)
@given(shapes)
def test_dense_sides_equal_numpy(shape: tuple[int, int, int, float, int]) -> None:
    m, k, n, density, seed = shape
    a = drawn(m, k, density, seed)
    rng = np.random.default_rng(seed)
    b, c = rng.random((k, n)), np.full((m, n), np.nan)
    gustavson.times_dense(m, n, a.indptr, a.indices, a.data, b, c)
    assert np.allclose(c, a.to_scipy().toarray() @ b)
    x, y_rows, values = rng.random((m, n)), rng.random((k, n)), np.empty(a.nnz)
    gustavson.sampled(m, n, a.indptr, a.indices, x, y_rows, values)
    rows = np.repeat(np.arange(m), a.row_lengths)
    assert np.allclose(values, (x @ y_rows.T)[rows, a.indices])


def plain_lines(a: Csr, b: Csr, element: int, line: int, cache: int) -> int:
    used: dict[int, int] = {}
    clock = lines = 0
    for k in a.indices.tolist():
        size = element * int(b.row_lengths[k])
        if k not in used or clock - used[k] > cache:
            lines += -(-size // line)
        clock += size
        used[k] = clock
    return lines


@settings(derandomize=True, max_examples=40, deadline=None)
@given(shapes, st.integers(0, 2000))
def test_lines_from_beyond_equal_plain_python(shape: tuple[int, int, int, float, int], cache: int) -> None:
    m, k, n, density, seed = shape
    a, b = drawn(m, k, density, seed), drawn(k, n, density, seed + 1)
    caches = np.array([cache, 2 * cache, 2**62])
    got = gustavson.lines_from_beyond(a.indices, b.indptr, 12, 64, caches)
    assert got.tolist() == [plain_lines(a, b, 12, 64, int(c)) for c in caches]
    assert got[0] >= got[1] >= got[2]
