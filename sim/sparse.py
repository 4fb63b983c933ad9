"""Compressed sparse rows: the one sparse container that operations, engines and machines share."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from siloom.sim.errors import InputError

if TYPE_CHECKING:
    import scipy.sparse as sp

Index = NDArray[np.int64]
Reals = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Csr:
    """A sparse matrix in canonical CSR: rows in order, columns ascending within a row, no doubles.

    ``indptr`` [rows + 1] and ``indices`` [nnz] are int64, ``data`` [nnz] is float64; the arrays are
    read, never written. The same container holds CSC as the CSR of the transpose.
    """

    shape: tuple[int, int]
    indptr: Index
    indices: Index
    data: Reals

    @classmethod
    def from_scipy(cls, matrix: Any) -> Csr:
        """Take any scipy sparse matrix or array; doubled entries are summed.

        Raises:
            InputError: complex entries, which no machine here computes with.
        """
        csr = matrix.tocsr()
        if csr.dtype.kind == "c":
            raise InputError(f"matrix: entries must be real, got {csr.dtype}")
        if not csr.has_canonical_format:
            csr = csr.copy()
            csr.sum_duplicates()
        return cls(
            (int(csr.shape[0]), int(csr.shape[1])),
            np.ascontiguousarray(csr.indptr, dtype=np.int64),
            np.ascontiguousarray(csr.indices, dtype=np.int64),
            np.ascontiguousarray(csr.data, dtype=np.float64),
        )

    def to_scipy(self) -> sp.csr_array:
        """The same matrix as a scipy array, sharing memory."""
        import scipy.sparse as sp

        out = sp.csr_array((self.data, self.indices, self.indptr), shape=self.shape)
        out.has_canonical_format = True
        return out

    @property
    def nnz(self) -> int:
        """Stored entries."""
        return len(self.indices)

    @cached_property
    def transposed(self) -> Csr:
        """The transpose in CSR, which is this matrix in CSC."""
        return Csr.from_scipy(self.to_scipy().T)

    @cached_property
    def row_lengths(self) -> Index:
        """Stored entries of each row, [rows]."""
        return np.diff(self.indptr)

    @cached_property
    def content_hash(self) -> str:
        """Hash of shape, structure and values (16 hex digits)."""
        digest = hashlib.blake2b(digest_size=8)
        digest.update(repr(self.shape).encode())
        for array in (self.indptr, self.indices, self.data):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    @cached_property
    def structure_hash(self) -> str:
        """Hash of shape and positions alone (16 hex digits)."""
        digest = hashlib.blake2b(digest_size=8)
        digest.update(repr(self.shape).encode())
        digest.update(self.indptr.data)
        digest.update(self.indices.data)
        return digest.hexdigest()
