"""How far an angle estimated from sign hashes is off, and the bias that makes it safe (ELSA).

Of k bits, signs of projections on k directions, h differ between two vectors: their angle is about ``pi h / k``. The
error of that estimate is drawn here for pairs of independent Gaussian vectors. ELSA takes its 80th percentile off the
estimate: then four keys in five of those that lie as near as they seem to are not overlooked.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from siloom.sim.errors import InputError
from siloom.sim.units.srp_hash import SrpHash, orthogonal, sides_for

Reals = npt.NDArray[np.float64]
Projection = Literal["kronecker", "orthogonal", "gaussian", "none"]
PROJECTIONS: tuple[Projection, ...] = ("kronecker", "orthogonal", "gaussian", "none")
"""Ways to make a projection: a product of three small orthogonal matrices, one orthogonal matrix, independent
Gaussian directions, or none at all (signs of the vector's own elements)."""

PERCENTILE = 80.0
_MATRICES, _PAIRS = 50, 4000
_LONG = 256


def projection_matrix(kind: str, dim: int, seed: int) -> Reals:
    """A projection [dim, dim]; Kronecker factors are those of ``srp_hash`` at its default width.

    Raises:
        InputError: no such kind, or a length that no Kronecker product fits.
    """
    if kind == "kronecker":
        a, b, c = sides_for(dim)
        factors = SrpHash(side_a=a, side_b=b, side_c=c, seed=seed).factors
        whole: Reals = np.kron(np.kron(factors[0], factors[1]), factors[2]).astype(np.float64)
        return whole
    rng = np.random.default_rng((seed, dim))
    if kind == "orthogonal":
        return orthogonal(dim, rng)
    if kind == "gaussian":
        return rng.standard_normal((dim, dim))
    if kind == "none":
        return np.eye(dim)
    raise InputError(f"hash angle: projection must be one of {', '.join(PROJECTIONS)}, got {kind!r}")


def angle_errors(kind: str, dim: int, matrices: int = _MATRICES, pairs: int = _PAIRS, seed: int = 0) -> Reals:
    """Errors in radians, estimated less true, of pairs of independent Gaussian vectors under several matrices.

    Of vectors above 256 elements fewer are drawn.
    """
    if dim > _LONG:  # the error is small there, and its percentile does not need as many
        matrices, pairs = min(matrices, 8), min(pairs, max(100, _PAIRS * _LONG // dim))
    out = np.empty((matrices, pairs))
    for at in range(matrices):
        rng = np.random.default_rng((seed, at))
        x, y = rng.standard_normal((2, pairs, dim))
        turn = projection_matrix(kind, dim, at)
        differ = np.count_nonzero((x @ turn.T >= 0) != (y @ turn.T >= 0), axis=1)
        lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
        true = np.arccos(np.clip(np.einsum("pd,pd->p", x, y) / lengths, -1.0, 1.0))
        out[at] = np.pi * differ / dim - true
    return out.ravel()


@lru_cache(maxsize=64)
def angle_bias_rad(kind: str, dim: int) -> float:
    """The 80th percentile of the error, in radians, rounded to thousandths; 0.127 for 64 bits of 64 elements."""
    return round(max(0.0, float(np.percentile(angle_errors(kind, dim), PERCENTILE))), 3)
