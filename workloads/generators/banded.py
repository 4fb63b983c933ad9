"""Banded matrices: every entry within some diagonals of the main one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from siloom.sim.errors import InputError
from siloom.sim.sparse import Csr
from siloom.workloads.generator import (
    MatrixGenerator,
    check_matrix,
    csr_of_rows,
    order,
    random_values,
    seed,
    size,
)


@dataclass(frozen=True)
class Banded(MatrixGenerator):
    """All positions with abs(row - column) <= band, values in (0, 1]."""

    name: ClassVar[str] = "banded"
    summary: ClassVar[str] = "n x n, the main diagonal and `band` full diagonals on each side"
    source: ClassVar[str] = "defaults: ours"

    n: int = order(16384)
    band: int = size(4, "diagonals per side", low=0, high=2**24)
    seed: int = seed()

    def matrix(self) -> Csr:
        """Row lengths first, then each row's columns from its first one on.

        Raises:
            InputError: a band that reaches past the corners.
        """
        n, band = self.n, self.band
        if band >= n:
            raise InputError(f"banded: band must be below n={n}, got {band}")
        entries = n * (2 * band + 1) - band * (band + 1)
        check_matrix(self.name, n, n, entries)
        at = np.arange(n, dtype=np.int64)
        first = np.maximum(at - band, 0)
        lengths = np.minimum(at + band, n - 1) - first + 1
        rows = np.repeat(at, lengths)
        starts = np.cumsum(lengths) - lengths
        cols = np.arange(entries, dtype=np.int64) - np.repeat(starts - first, lengths)
        return csr_of_rows((n, n), rows, cols, random_values(np.random.default_rng(self.seed), entries))
