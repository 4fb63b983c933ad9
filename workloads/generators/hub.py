"""A hub: one dense row and one dense column on sparse ground, the worst case of load balance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from siloom.sim.design import parameter
from siloom.sim.errors import InputError
from siloom.sim.sparse import Csr
from siloom.workloads.generator import (
    MatrixGenerator,
    check_matrix,
    csr_of_rows,
    distinct_positions,
    order,
    random_values,
    seed,
)


@dataclass(frozen=True)
class Hub(MatrixGenerator):
    """Row ``at`` and column ``at`` are full; of the rest, ``round(density*(n-1)*(n-1))`` positions.

    The product of the dense column and row alone makes n^2 partial products.
    """

    name: ClassVar[str] = "hub"
    summary: ClassVar[str] = "n x n, one dense row and column, the rest uniformly sparse"
    source: ClassVar[str] = "defaults: ours"

    n: int = order(4096)
    density: float = parameter(
        0.0005, unit="entries per other position", low=0, high=1, source="chosen by the user", status="assumed"
    )
    at: int = parameter(0, unit="row", low=0, high=2**24 - 1, source="chosen by the user", status="assumed")
    seed: int = seed()

    def matrix(self) -> Csr:
        """The rest is drawn on (n-1)^2 positions, which then step aside for the hub.

        Raises:
            InputError: a hub outside the matrix.
        """
        n, at = self.n, self.at
        if at >= n:
            raise InputError(f"hub: at must be below n={n}, got {at}")
        count = round(self.density * (n - 1) * (n - 1))
        entries = 2 * n - 1 + count
        check_matrix(self.name, n, n, entries)
        rng = np.random.default_rng(self.seed)
        drawn = distinct_positions(self.name, rng, (n - 1) ** 2, count)
        rows = drawn // max(n - 1, 1)
        cols = drawn - rows * (n - 1)
        rows += rows >= at
        cols += cols >= at
        line = np.arange(n, dtype=np.int64)
        others = line[line != at]
        places = np.concatenate([rows * n + cols, line * n + at, at * n + others])
        places.sort()
        rows = places // n
        return csr_of_rows((n, n), rows, places - rows * n, random_values(rng, entries))
