"""A vector projected by a fixed matrix of -1, 0 and 1: additions alone (DOTA).

``y[j] = sum over i of x[i] P[i, j]`` with P [dim, rank] drawn once from a seed: 1 and -1 with probability 1/6 each,
0 with 2/3. Times ``sqrt(3 / rank)`` this keeps lengths in the mean (Achlioptas); the hardware leaves that factor out,
because a quantizer follows whose scale takes it in. Sums are kept at full width: nothing is rounded.

Source: Qu et al., DOTA, ASPLOS 2022 (from a reading note) for the matrix; how many adders there are is assumed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from siloom.sim.contract import Answer, Codes, Contract, Port, Stream, Unit, Whole
from siloom.sim.design import Design, parameter
from siloom.sim.jit import kernel

Ternary = npt.NDArray[np.int8]

_DOTA = "Qu et al., DOTA, ASPLOS 2022"
_CHOICE = "free choice of the design"


@dataclass(frozen=True, kw_only=True)
class TernaryProjection(Design):
    """The size of one projection unit."""

    dim: int = parameter(64, unit="", source=_CHOICE, status="assumed", low=1, high=1024)
    rank: int = parameter(16, unit="", source=_DOTA, status="recalled", low=1, high=1024)
    x_bits: int = parameter(16, unit="bit", source=_DOTA, low=2, high=32)
    adders: int = parameter(512, unit="", source=_CHOICE, status="assumed", low=1, high=2**20)
    seed: int = parameter(0, unit="", source=_CHOICE, status="assumed", low=0, high=2**63 - 1)

    @property
    def matrix(self) -> Ternary:
        """P, [dim, rank]."""
        return ternary_matrix(self.dim, self.rank, self.seed)

    @property
    def additions(self) -> int:
        """Additions and subtractions for one vector: entries of P that are not 0."""
        return int(np.count_nonzero(self.matrix))

    @property
    def cycles(self) -> int:
        """Cycles for one vector."""
        return max(1, -(-self.additions // self.adders))

    @property
    def scale(self) -> float:
        """The factor that is left out."""
        return math.sqrt(3.0 / self.rank)

    @property
    def result(self) -> Whole:
        """Wide enough for the largest sum that this P allows."""
        most = int(np.abs(self.matrix.astype(np.int64)).sum(axis=0).max()) << (self.x_bits - 1)
        return Whole(max(2, most.bit_length() + 1))


@lru_cache(maxsize=64)
def ternary_matrix(dim: int, rank: int, seed: int) -> Ternary:
    """The matrix [dim, rank] of one seed; not to be written to."""
    thrown = np.random.default_rng(seed).integers(0, 6, (dim, rank))
    matrix: Ternary = (thrown == 0).astype(np.int8) - (thrown == 1).astype(np.int8)
    matrix.setflags(write=False)
    return matrix


@kernel
def ternary_projection_vectors(x: Codes, matrix: Codes) -> Codes:
    """Projections [n, rank] of vectors x [n, dim] by ``matrix`` [dim, rank] of -1, 0 and 1."""
    count, dim = x.shape
    rank = matrix.shape[1]
    out = np.zeros((count, rank), np.int64)
    for i in range(count):
        for d in range(dim):
            value = x[i, d]
            for j in range(rank):
                # An adder whose operand is gated or negated, not a multiplier: matrix is -1, 0 or 1.
                out[i, j] += value * matrix[d, j]
    return out


def ternary_projection_reference(x: Sequence[int], matrix: Ternary) -> list[int]:
    """One vector, by additions and subtractions."""
    columns = matrix.T.tolist()
    return [
        sum(v for v, sign in zip(x, column, strict=True) if sign > 0)
        - sum(v for v, sign in zip(x, column, strict=True) if sign < 0)
        for column in columns
    ]


def contract(design: TernaryProjection) -> Contract:
    """What a unit of this size promises: a vector's projection once its additions are done; the next vector then."""
    matrix = design.matrix.astype(np.int64)

    def function(beats: Codes) -> Answer:
        return Answer(ternary_projection_vectors(np.ascontiguousarray(beats), matrix), np.arange(len(beats)))

    return Contract(
        name="ternary_projection",
        inputs=Stream((Port("x", Whole(design.x_bits), "elements of a vector", design.dim),)),
        outputs=Stream((Port("y", design.result, "x P, exact, without sqrt(3 / rank)", design.rank),)),
        latency=design.cycles,
        interval=design.cycles,
        capacity=1,
        function=function,
    )


UNIT = Unit(
    name="ternary_projection",
    summary="a vector times a fixed matrix of -1, 0 and 1, by additions alone (DOTA)",
    design_type=TernaryProjection,
    contract=contract,
    sizes=(
        TernaryProjection(dim=2, rank=2, x_bits=3, adders=2),
        TernaryProjection(),
        TernaryProjection(dim=24, rank=6, x_bits=8, adders=5, seed=3),
    ),
)
