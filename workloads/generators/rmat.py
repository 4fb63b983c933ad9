"""R-MAT power-law graphs (Chakrabarti, Zhan, Faloutsos, SDM 2004)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from siloom.sim.sparse import Csr
from siloom.workloads.generator import MatrixGenerator, check_matrix, csr_of_rows, random_values, seed, size

UPPER_LEFT, UPPER_RIGHT, LOWER_LEFT = 0.57, 0.19, 0.19
"""Chances of three quadrants; the fourth has the rest, .05."""


@dataclass(frozen=True)
class Rmat(MatrixGenerator):
    """``edges`` draws on 2^scale vertices; drawn twice counts once, vertices are not permuted.

    Each level of the recursion takes one uniform number an edge, the highest bit first.
    """

    name: ClassVar[str] = "rmat"
    summary: ClassVar[str] = "2^scale x 2^scale power-law graph, probabilities .57 .19 .19 .05, duplicates merged"
    source: ClassVar[str] = "R-MAT (SDM 2004) with Graph500's probabilities (recalled)"

    scale: int = size(17, "log2 rows", high=30)
    edges: int = size(1_000_000, "draws")
    seed: int = seed()

    def matrix(self) -> Csr:
        """Draw all edges level by level, sort, merge, then draw values in (0, 1]."""
        order = 1 << self.scale
        check_matrix(self.name, order, order, self.edges)
        rng = np.random.default_rng(self.seed)
        rows = np.zeros(self.edges, dtype=np.int64)
        cols = np.zeros(self.edges, dtype=np.int64)
        for _ in range(self.scale):
            chance = rng.random(self.edges)
            lower = chance >= UPPER_LEFT + UPPER_RIGHT
            right = (chance >= UPPER_LEFT) & ~lower | (chance >= UPPER_LEFT + UPPER_RIGHT + LOWER_LEFT)
            rows += rows + lower
            cols += cols + right
        places = rows << self.scale | cols
        places.sort()
        first = np.ones(len(places), dtype=np.bool_)
        np.not_equal(places[1:], places[:-1], out=first[1:])
        places = places[first]
        rows = places >> self.scale
        return csr_of_rows((order, order), rows, places & (order - 1), random_values(rng, len(places)))
