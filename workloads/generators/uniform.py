"""Uniformly random square matrices, the synthetic set of the sparse accelerators' papers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from siloom.sim.design import parameter
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
class Uniform(MatrixGenerator):
    """Exactly ``round(density*n*n)`` entries at distinct positions, values in (0, 1]."""

    name: ClassVar[str] = "uniform"
    summary: ClassVar[str] = "n x n, round(density*n*n) entries at distinct random positions"
    source: ClassVar[str] = "defaults: the densest synthetic matrix of OuterSPACE (HPCA 2018)"

    n: int = order(4986)
    density: float = parameter(
        0.008, unit="entries per position", low=0, high=1, source="chosen by the user", status="assumed"
    )
    seed: int = seed()

    def matrix(self) -> Csr:
        """Positions first, then values, from one generator."""
        count = round(self.density * self.n * self.n)
        check_matrix(self.name, self.n, self.n, count)
        rng = np.random.default_rng(self.seed)
        drawn = distinct_positions(self.name, rng, self.n * self.n, count)
        rows = drawn // self.n
        return csr_of_rows((self.n, self.n), rows, drawn - rows * self.n, random_values(rng, count))
