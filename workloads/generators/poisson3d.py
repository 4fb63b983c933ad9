"""The Laplacian on a cube of points: the matrix of implicit heat flow, regular in every row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from siloom.sim.design import parameter
from siloom.sim.sparse import Csr
from siloom.workloads.generator import MatrixGenerator, check_matrix, csr_of_rows, size


@dataclass(frozen=True)
class Poisson3d(MatrixGenerator):
    """n^3 rows; a point and its 6 or 26 neighbours, -1 each, with their full number on the diagonal.

    Neighbours outside the cube are absent (Dirichlet boundary), so rows at the faces are shorter.
    """

    name: ClassVar[str] = "poisson3d"
    summary: ClassVar[str] = "n^3 x n^3 Laplacian of a cube, 7- or 27-point stencil"
    source: ClassVar[str] = "finite differences; n=24 gives 13,824 rows"

    n: int = size(24, "points per side", high=1290)
    points: str = parameter(
        "7", unit="points per row", choices=("7", "27"), source="chosen by the user", status="assumed"
    )

    def matrix(self) -> Csr:
        """All neighbours of all points at once, those outside masked away."""
        n, points = self.n, int(self.points)
        check_matrix(self.name, n**3, n**3, points * n**3)
        steps = np.array([(z, y, x) for z in (-1, 0, 1) for y in (-1, 0, 1) for x in (-1, 0, 1)], dtype=np.int64)
        if points == 7:
            steps = steps[np.abs(steps).sum(axis=1) <= 1]
        # One axis at a time: [n, 1, 1, points], [n, 1, points] and [n, points] broadcast to the cube.
        along = np.arange(n, dtype=np.int64)[:, None] + steps.T[:, None, :]
        inside = (along >= 0) & (along < n)
        kept = inside[0][:, None, None] & inside[1][:, None] & inside[2]
        cols = ((along[0][:, None, None] * n + along[1][:, None]) * n + along[2])[kept]
        rows = np.repeat(np.arange(n**3, dtype=np.int64), kept.sum(axis=3).ravel())
        return csr_of_rows((n**3, n**3), rows, cols, np.where(rows == cols, points - 1.0, -1.0))
