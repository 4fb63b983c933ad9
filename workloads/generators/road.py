"""Road-like networks: a grid of junctions of which some links are missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from siloom.sim.design import parameter
from siloom.sim.sparse import Csr
from siloom.workloads.generator import MatrixGenerator, check_matrix, csr_of_rows, seed, size


@dataclass(frozen=True)
class Road(MatrixGenerator):
    """n^2 junctions; each link of the grid is there with chance ``keep``, both ways, value 1.

    The mean degree is 4 * keep for a large n, and no junction has more than 4.
    """

    name: ClassVar[str] = "road"
    summary: ClassVar[str] = "n^2 x n^2 symmetric grid with links missing at random, degree at most 4"
    source: ClassVar[str] = "keep=0.7 gives the 2.8 entries a row of roadNet-CA (5,533,214 / 1,971,281, SuiteSparse)"

    n: int = size(256, "junctions per side", high=4096)
    keep: float = parameter(0.7, unit="chance", low=0, high=1, source="roadNet-CA's mean degree / 4")
    seed: int = seed()

    def matrix(self) -> Csr:
        """Links to the east, then to the south, mirrored and put in order."""
        side = self.n
        check_matrix(self.name, side**2, side**2, 4 * side**2)
        rng = np.random.default_rng(self.seed)
        at = np.arange(side**2, dtype=np.int64).reshape(side, side)
        east = at[:, :-1][rng.random((side, side - 1)) < self.keep]
        south = at[:-1][rng.random((side - 1, side)) < self.keep]
        ahead = np.concatenate([east * side**2 + east + 1, south * side**2 + south + side])
        back = np.concatenate([(east + 1) * side**2 + east, (south + side) * side**2 + south])
        places = np.concatenate([ahead, back])
        places.sort()
        rows = places // side**2
        return csr_of_rows((side**2, side**2), rows, places - rows * side**2, np.ones(len(places)))
