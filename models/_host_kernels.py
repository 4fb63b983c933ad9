"""The libraries that ``host`` measures, each as a function made ready to be timed.

``prepare`` does what a user of the library does once (index types, layouts, thread count); the
function it returns is the product alone, results allocated by the library.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from siloom.models import _mkl
from siloom.models._sparse_library import rows_of_product
from siloom.sim.engine import gustavson
from siloom.sim.errors import InputError
from siloom.sim.ops import SDDMM, SpGEMM, SpMM
from siloom.sim.sparse import Csr, Reals

_INT32 = 2**31 - 1


@dataclass(frozen=True)
class Prepared:
    """``call`` computes the operation once; ``version`` and ``threads`` say with what.

    ``threads`` is what the library may use: MKL takes fewer on a busy machine unless ``MKL_DYNAMIC``
    is set to FALSE.
    """

    call: Callable[[], Any]
    version: str
    threads: int


def libraries(op: SpGEMM | SpMM | SDDMM) -> tuple[str, ...]:
    """Names of the libraries here that can compute ``op``; MKL samples no dense product."""
    if isinstance(op, SDDMM):
        return ("numpy", "numba")
    return ("scipy", "numba", "mkl") if _mkl.installed() else ("scipy", "numba")


@contextlib.contextmanager
def prepare(library: str, op: SpGEMM | SpMM | SDDMM, threads: int) -> Iterator[Prepared]:
    """Make ``op`` ready in ``library``; thread counts are put back on leaving.

    Raises:
        MissingPartError: the library is not installed.
        InputError: operands beyond what the library addresses.
    """
    if library == "mkl":
        mkl = _mkl.load()
        before = _mkl.use_threads(threads)
        version = importlib.metadata.version("mkl")
        try:
            yield Prepared(_mkl_call(mkl, op), f"mkl {version}", threads)
        finally:
            _mkl.use_threads(before)
        return
    call = {"scipy": _scipy_call, "numpy": _numpy_call, "numba": _numba_call}[library](op)
    yield Prepared(call, f"{library} {importlib.metadata.version(library)}", 1)


def dense_operands(op: SpMM | SDDMM) -> tuple[Reals, ...]:
    """The dense operands of the operation, drawn with seed 0 where it has none; SDDMM's Y as [cols, k]."""
    rng = np.random.default_rng(0)
    if isinstance(op, SpMM):
        return (np.ascontiguousarray(rng.random((op.a.shape[1], op.n)) if op.b is None else op.b, dtype=np.float64),)
    x = rng.random((op.mask.shape[0], op.k)) if op.x is None else op.x
    y_rows = rng.random((op.mask.shape[1], op.k)) if op.y is None else op.y.T
    return np.ascontiguousarray(x, dtype=np.float64), np.ascontiguousarray(y_rows, dtype=np.float64)


def narrow(matrix: Csr) -> Any:
    """As a scipy array with 32-bit indices where they fit, which both scipy and MKL prefer."""
    import scipy.sparse as sp

    if max(matrix.nnz, *matrix.shape) > _INT32:
        return matrix.to_scipy()
    out = sp.csr_array(
        (matrix.data, matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)), shape=matrix.shape
    )
    out.has_canonical_format = True
    return out


def _scipy_call(op: SpGEMM | SpMM | SDDMM) -> Callable[[], Any]:
    if isinstance(op, SpGEMM):
        a = narrow(op.a)
        b = a if op.b is op.a else narrow(op.b)
        return lambda: a @ b
    assert isinstance(op, SpMM)
    left, (right,) = narrow(op.a), dense_operands(op)
    return lambda: left @ right


def _mkl_call(mkl: Any, op: SpGEMM | SpMM | SDDMM) -> Callable[[], Any]:
    sparse = op.mask if isinstance(op, SDDMM) else op.a
    if max(sparse.nnz, *sparse.shape) > _INT32:
        raise InputError(f"host: library=mkl: sizes must be below 2^31, got {sparse.shape} with {sparse.nnz} entries")
    if isinstance(op, SpGEMM):
        a = narrow(op.a)
        b = a if op.b is op.a else narrow(op.b)
        return lambda: mkl.dot_product_mkl(a, b)
    assert isinstance(op, SpMM)
    left, (right,) = narrow(op.a), dense_operands(op)
    return lambda: mkl.dot_product_mkl(left, right)


def _numpy_call(op: SpGEMM | SpMM | SDDMM) -> Callable[[], Any]:
    assert isinstance(op, SDDMM)
    x, y_rows = dense_operands(op)
    rows = np.repeat(np.arange(op.mask.shape[0]), op.mask.row_lengths)
    columns = op.mask.indices
    # Gathered operands are held a block at a time: 16 MiB each.
    block = max(1, 2**21 // op.k)

    def call() -> Reals:
        out = np.empty(op.mask.nnz)
        for at in range(0, op.mask.nnz, block):
            part = slice(at, at + block)
            np.einsum("ek,ek->e", x[rows[part]], y_rows[columns[part]], out=out[part])
        return out

    return call


def _numba_call(op: SpGEMM | SpMM | SDDMM) -> Callable[[], Any]:
    if isinstance(op, SpGEMM):
        return lambda: gustavson_product(op.a, op.b)
    if isinstance(op, SpMM):
        (b,) = dense_operands(op)

        def spmm() -> Reals:
            c = np.empty((op.a.shape[0], op.n))
            gustavson.times_dense(op.a.shape[0], op.n, op.a.indptr, op.a.indices, op.a.data, b, c)
            return c

        return spmm
    x, y_rows = dense_operands(op)

    def sddmm() -> Reals:
        c = np.empty(op.mask.nnz)
        gustavson.sampled(op.mask.shape[0], op.k, op.mask.indptr, op.mask.indices, x, y_rows, c)
        return c

    return sddmm


def gustavson_product(a: Csr, b: Csr) -> Any:
    """C = A B by our own two-pass kernel, as a scipy array with unsorted columns."""
    import scipy.sparse as sp

    _, results = rows_of_product(a, b)
    c_ptr = np.zeros(a.shape[0] + 1, np.int64)
    np.cumsum(results, out=c_ptr[1:])
    c_idx = np.empty(int(c_ptr[-1]), np.int64)
    c_val = np.empty(int(c_ptr[-1]))
    gustavson.fill(
        a.shape[0], b.shape[1], a.indptr, a.indices, a.data, b.indptr, b.indices, b.data, c_ptr, c_idx, c_val
    )
    return sp.csr_array((c_val, c_idx, c_ptr), shape=(a.shape[0], b.shape[1]))
