"""What every software baseline needs to know of a sparse operation: exact counts and bytes.

Counts are exact (a symbolic product); bytes follow the passes that a library makes. Elements are
8-byte values with 4-byte indices, as the libraries hold them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from siloom.sim.engine import gustavson
from siloom.sim.ops import SDDMM, SpGEMM, SpMM
from siloom.sim.sparse import Csr, Index

INDEX_BYTES = 4
VALUE_BYTES = 8
ELEMENT_BYTES = INDEX_BYTES + VALUE_BYTES


@dataclass(frozen=True)
class ProductCounts:
    """Exact counts of C = A B that every library model reads.

    ``products`` are scalar multiplications, ``results`` the stored entries of C; ``longest_row`` is
    the largest number of products of one row of C.
    """

    rows: int
    inner: int
    cols: int
    nnz_a: int
    nnz_b: int
    products: int
    results: int
    longest_row: int

    @property
    def operations(self) -> dict[str, int]:
        """The counts as results name them."""
        return {
            "multiplies": self.products,
            "adds": self.products - self.results,
            "effective_multiplies": self.products,
            "results": self.results,
        }


_REMEMBERED = 64
_counted: dict[tuple[str, str], ProductCounts] = {}


def count_product(op: SpGEMM) -> ProductCounts:
    """Exact counts of a product; those of the last structures are remembered, not the matrices."""
    a, b = op.a, op.b
    key = (a.structure_hash, b.structure_hash)
    if key not in _counted:
        products, results = rows_of_product(a, b)
        while len(_counted) >= _REMEMBERED:
            del _counted[next(iter(_counted))]
        _counted[key] = ProductCounts(
            rows=a.shape[0],
            inner=a.shape[1],
            cols=b.shape[1],
            nnz_a=a.nnz,
            nnz_b=b.nnz,
            products=int(products.sum()),
            results=int(results.sum()),
            longest_row=int(products.max(initial=0)),
        )
    return _counted[key]


def rows_of_product(a: Csr, b: Csr) -> tuple[Index, Index]:
    """Products and results of each row of A B, both [rows of A]."""
    columns, width = b.indices, b.shape[1]
    if width > 4 * b.nnz + 1024:
        # A very wide B would cost scratch by its width: number the columns that occur.
        _, columns = np.unique(columns, return_inverse=True)
        width = b.nnz
    return gustavson.count(a.shape[0], width, a.indptr, a.indices, b.indptr, columns)


def lines_beyond(op: SpGEMM, line_bytes: int, *cache_bytes: float) -> tuple[int, ...]:
    """Lines of B's rows that each cache no longer holds when the next row of A asks for them."""
    caches = np.array([min(c, 2.0**62) for c in cache_bytes]).astype(np.int64)
    found = gustavson.lines_from_beyond(op.a.indices, op.b.indptr, ELEMENT_BYTES, line_bytes, caches)
    return tuple(int(n) for n in found)


def makespan_factor(work: float, longest: float, servers: int) -> float:
    """Time on ``servers`` over perfectly shared time, at most: Graham's bound for list scheduling.

    A row is one indivisible piece; 1 where no row is longer than a server's share is fine-grained.
    """
    if work <= 0 or servers <= 1:
        return 1.0
    return ((work - longest) / servers + longest) / (work / servers)


def gathered_bytes(requested: float, footprint: float, cache_bytes: float) -> float:
    """Bytes from memory for ``requested`` bytes of repeated reads spread over ``footprint`` bytes.

    Each byte of the footprint comes in once; of the rest, the share that the cache cannot hold misses.
    """
    if footprint <= 0 or requested <= footprint:
        return min(requested, max(footprint, 0.0))
    missing = max(0.0, 1.0 - cache_bytes / footprint)
    return footprint + (requested - footprint) * missing


@dataclass(frozen=True)
class DenseSide:
    """A product with a dense operand as a roofline sees it: exact counts, bytes by tensor, the longest row."""

    operations: Mapping[str, int]
    bytes_read: Mapping[str, int]
    bytes_written: int
    imbalance_share: float

    @property
    def bytes_moved(self) -> int:
        """All bytes from and to memory."""
        return sum(self.bytes_read.values()) + self.bytes_written

    @property
    def traffic(self) -> dict[str, int]:
        """As results name it."""
        return {
            **self.bytes_read,
            "partial": 0,
            "c": self.bytes_written,
            "dram_read": sum(self.bytes_read.values()),
            "dram_write": self.bytes_written,
        }


def dense_side(op: SpMM | SDDMM, cache_bytes: float) -> DenseSide:
    """Counts and bytes of SpMM or SDDMM; rows of the dense operand are gathered by column index.

    SpMM reads A once and gathers a row of B (n values) for each non-zero; SDDMM reads the mask and
    the rows of X in use once and gathers a column of Y (k values) for each mask position.
    """
    sparse = op.a if isinstance(op, SpMM) else op.mask
    width = op.n if isinstance(op, SpMM) else op.k
    lengths = sparse.row_lengths
    rows_in_use = int(np.count_nonzero(lengths))
    longest = int(lengths.max(initial=0))
    columns_in_use = len(np.unique(sparse.indices))
    gather = gathered_bytes(sparse.nnz * width * VALUE_BYTES, columns_in_use * width * VALUE_BYTES, cache_bytes)
    pointers = INDEX_BYTES * (sparse.shape[0] + 1)
    work = sparse.nnz * width
    share = longest / sparse.nnz if sparse.nnz else 0.0
    if isinstance(op, SpMM):
        results = sparse.shape[0] * width
        return DenseSide(
            {
                "multiplies": work,
                "adds": work - rows_in_use * width,
                "effective_multiplies": work,
                "results": results,
            },
            {"a": ELEMENT_BYTES * sparse.nnz + pointers, "b": round(gather)},
            VALUE_BYTES * results,
            share,
        )
    return DenseSide(
        {"multiplies": work, "adds": work - sparse.nnz, "effective_multiplies": work, "results": sparse.nnz},
        {
            "mask": INDEX_BYTES * sparse.nnz + pointers,
            "a": VALUE_BYTES * rows_in_use * width,
            "b": round(gather),
        },
        VALUE_BYTES * sparse.nnz,
        share,
    )
