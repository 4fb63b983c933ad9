"""Sparse products on a GPU: what cuSPARSE and CUSP move and compute, pass by pass.

Two libraries, one way of counting. cuSPARSE makes a row-wise product in two hash passes: its time
is mostly on-chip work (hash insertion, ordering), counted in cycles of one multiprocessor per
product and per result; these and two fixed times were fitted. CUSP expands all products into
memory, sorts them by row and column and adds up equal positions: its time is bytes at streaming
bandwidth; the passes are those of its source (cusp/system/cuda/detail/multiply/spgemm.h and
cusp/system/detail/generic/sort.inl) with Thrust's primitives in two-kernel form.
"""

from __future__ import annotations

from dataclasses import dataclass

from siloom.models._sparse_library import (
    ELEMENT_BYTES,
    INDEX_BYTES,
    ProductCounts,
    makespan_factor,
)

SECTOR_BYTES = 32
CUSPARSE_ALLOCATIONS = 5
"""Two work buffers and C's three arrays: the fitted allocation time covers all of them."""


@dataclass(frozen=True)
class Stage:
    """A part of a product: bytes by tensor, cycles of one multiprocessor, and fixed seconds."""

    name: str
    read: dict[str, float]
    written: dict[str, float]
    sm_cycles: float = 0.0
    fixed_s: float = 0.0

    @property
    def bytes_moved(self) -> float:
        """All bytes from and to memory."""
        return sum(self.read.values()) + sum(self.written.values())


@dataclass(frozen=True)
class Board:
    """What the stages need of a GPU and of the fit; SI units."""

    sms: int
    l2_bytes: float
    memory_bytes: float
    launch_s: float
    overhead_s: float
    allocation_s: float
    allocation_products: float
    cycles_per_product: float
    cycles_per_result: float


def cusparse_stages(counts: ProductCounts, b_lines: int, board: Board) -> tuple[Stage, ...]:
    """The stages of a generic-API product: work estimation and count, compute, copy to C.

    ``b_lines`` are 32-byte sectors of B's rows that the L2 cache no longer holds when a row of A
    asks for them. Rows are pieces of work that one multiprocessor takes whole.
    """
    waiting = makespan_factor(counts.products, counts.longest_row, board.sms)
    insertions = board.cycles_per_product * counts.products * waiting
    pointers = INDEX_BYTES * (counts.rows + 1)
    b_once = SECTOR_BYTES * b_lines + INDEX_BYTES * (counts.inner + 1)
    allocated = counts.products > board.allocation_products
    return (
        Stage("overhead", {}, {}, fixed_s=board.overhead_s),
        Stage("allocation", {}, {}, fixed_s=board.allocation_s if allocated else 0.0),
        Stage(
            "symbolic",
            {"a": INDEX_BYTES * counts.nnz_a + pointers, "b": b_once / 3},
            {"c": pointers},
            insertions / 2,
        ),
        Stage(
            "numeric",
            {"a": ELEMENT_BYTES * counts.nnz_a + pointers, "b": b_once},
            {"partial": ELEMENT_BYTES * counts.results},
            insertions / 2 + board.cycles_per_result * counts.results,
        ),
        Stage("copy", {"partial": ELEMENT_BYTES * counts.results}, {"c": ELEMENT_BYTES * counts.results}),
    )


@dataclass(frozen=True)
class Pass:
    """A kernel over all expanded products: bytes read and written for each, and its launches."""

    stage: str
    what: str
    read: int
    written: int
    launches: int = 1


_KEY_BITS, _DIGIT_BITS = 32, 4
_DIGITS = _KEY_BITS // _DIGIT_BITS

PASSES = (
    Pass("expand", "clear positions in A", 0, 4),
    Pass("expand", "running maximum of positions in A", 8, 4, 3),
    Pass("expand", "clear positions in B", 0, 4),
    Pass("expand", "running sum of positions in B by position in A", 16, 4, 3),
    Pass("expand", "row of each product", 4, 4),
    Pass("expand", "column of each product", 4, 4),
    Pass("expand", "value of each product", 8, 8),
    Pass("sort", "identity permutation", 0, 4),
    Pass("sort", "largest row and column", 8, 0, 4),
    Pass("sort", "copy of columns", 4, 4),
    Pass("sort", "radix sort by column: count a digit, then move key and position", 12 * _DIGITS, 8 * _DIGITS, 24),
    Pass("sort", "copy of rows", 4, 4),
    Pass("sort", "rows in column order", 8, 4),
    Pass("sort", "radix sort by row", 12 * _DIGITS, 8 * _DIGITS, 24),
    Pass("sort", "copy of columns", 4, 4),
    Pass("sort", "columns in final order", 8, 4),
    Pass("sort", "copy of values", 8, 8),
    Pass("sort", "values in final order", 12, 8),
    Pass("compress", "count of distinct positions", 8, 0, 2),
    Pass("compress", "sum of equal positions: flags, then values", 32, 0, 5),
)
"""CUSP's kernels over the products, 4-byte indices and 8-byte values; gathers from A and B are apart."""

CUSP_ALLOCATIONS = 20
_SETUP_LAUNCHES = 6
_WORKSPACE_BYTES = 24
_SLICE_PRODUCTS = 16 << 20


def cusp_slices(counts: ProductCounts, board: Board) -> int:
    """Slices of rows that CUSP makes: at most 2^24 products, or a third of free memory, at a time."""
    free = board.memory_bytes - ELEMENT_BYTES * (counts.nnz_a + counts.nnz_b)
    room = max(1.0, min(_SLICE_PRODUCTS, free / _WORKSPACE_BYTES / 3))
    return max(1, -int(-counts.products // room))


def cusp_stages(counts: ProductCounts, b_lines: int, board: Board) -> tuple[Stage, ...]:
    """The stages of CUSP's product in coordinate format: set up, expand, sort, compress."""
    slices = cusp_slices(counts, board)
    launches = {stage: sum(p.launches for p in PASSES if p.stage == stage) for stage in ("expand", "sort", "compress")}

    def over_products(stage: str, read: dict[str, float], written: dict[str, float]) -> Stage:
        passes = [p for p in PASSES if p.stage == stage]
        own_read = sum(p.read for p in passes) * counts.products
        own_written = sum(p.written for p in passes) * counts.products
        return Stage(
            stage,
            {**read, "partial": own_read + read.get("partial", 0.0)},
            {**written, "partial": own_written},
            fixed_s=(launches[stage] * slices if counts.products else 0) * board.launch_s,
        )

    # Rows read in column order hit any sector of the slice's array, unless the L2 cache holds it.
    slice_rows_bytes = INDEX_BYTES * counts.products / slices
    scattered = max(0.0, 1.0 - board.l2_bytes / slice_rows_bytes) if slice_rows_bytes else 0.0
    per_entry = 2 * (INDEX_BYTES * 3 + SECTOR_BYTES)
    setup = Stage(
        "setup",
        {"a": 24.0 * counts.nnz_a, "b": INDEX_BYTES * (counts.nnz_b + 2.0 * counts.inner)},
        {"a": 8.0 * counts.nnz_a, "b": 2.0 * INDEX_BYTES * counts.inner},
        fixed_s=_SETUP_LAUNCHES * board.launch_s + board.allocation_s * CUSP_ALLOCATIONS / CUSPARSE_ALLOCATIONS,
    )
    return (
        setup,
        over_products(
            "expand", {"a": (per_entry + ELEMENT_BYTES + INDEX_BYTES) * counts.nnz_a, "b": SECTOR_BYTES * b_lines}, {}
        ),
        over_products("sort", {"partial": (SECTOR_BYTES - INDEX_BYTES) * scattered * counts.products}, {}),
        over_products(
            "compress",
            {"c": 16.0 * counts.results if slices > 1 else 0.0},
            {"c": 16.0 * counts.results * (2 if slices > 1 else 1)},
        ),
    )
