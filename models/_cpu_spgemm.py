"""Sparse products on a CPU: what one core's cycles are counted on, and what memory moves."""

from __future__ import annotations

import numpy as np

from siloom.models._sparse_library import ELEMENT_BYTES, INDEX_BYTES, ProductCounts, makespan_factor
from siloom.sim.sparse import Reals

LINE_BYTES = 64
FITTED = (
    "overhead_s",
    "cycles_per_product",
    "cycles_per_result",
    "cycles_per_scattered_result",
    "cycles_per_near_line",
    "cycles_per_far_line",
)
"""The fitted constants, in the order of :func:`core_terms` (the first is a time in seconds)."""


def core_terms(counts: ProductCounts, l1_bytes: float, near_lines: int, far_lines: int) -> Reals:
    """What one core's cycles are counted on, [1 + 5] in the order of :data:`FITTED`.

    A result is scattered as far as the row of accumulators (8 B a column of C) exceeds the
    first-level cache.
    """
    width = 8.0 * counts.cols
    scattered = counts.results * max(0.0, 1.0 - l1_bytes / width) if width else 0.0
    return np.array([1.0, counts.products, counts.results, scattered, near_lines, far_lines], dtype=float)


def memory_bytes(counts: ProductCounts, deep_lines: int) -> dict[str, int]:
    """Bytes from and to memory of the symbolic and the numeric pass together.

    A is read twice (structure, then all), B's lines come in as often as the last-level cache lost
    them, C is written once.
    """
    pointers = INDEX_BYTES * (counts.rows + 1)
    return {
        "a": (ELEMENT_BYTES + INDEX_BYTES) * counts.nnz_a + 2 * pointers,
        "b": LINE_BYTES * deep_lines + INDEX_BYTES * (counts.inner + 1),
        "partial": 0,
        "c": ELEMENT_BYTES * counts.results + pointers,
    }


def core_share(counts: ProductCounts, cores: int, serial_share: float) -> float:
    """Time on ``cores`` over time on one: a serial share (Amdahl), the rest bounded by the longest row."""
    split = makespan_factor(counts.products, counts.longest_row, cores) / cores
    return serial_share + (1.0 - serial_share) * split
