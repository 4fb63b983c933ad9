"""Keys chosen by their hashes: the filter of ELSA (Ham et al., ISCA 2021).

A hash is the signs of a projection's components. Of query and key they differ in about as many bits as the angle
between them is large; a key passes where its length times the cosine of that angle, made safe by a bias
(:mod:`siloom.sim.hash_angle`), is above a threshold times the longest key's length. The query's own length
falls out. The threshold is learnt: see :func:`learn_threshold`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from siloom.sim.approximation import Mask
from siloom.sim.design import Design, parameter
from siloom.sim.drawn_attention import Reals32
from siloom.sim.fixed_point import Codes32
from siloom.sim.hash_angle import PROJECTIONS, angle_bias_rad, projection_matrix
from siloom.sim.selection.best_key import keep_best_where_none
from siloom.sim.units.candidate_select import bound_code, candidates
from siloom.sim.units.hamming import cosine_table, distances
from siloom.sim.units.norm import norms
from siloom.sim.units.srp_hash import WORD, Factor, Hashes, SrpHash, sides_for, srp_hash_vectors

_PAPER = "Ham et al., ELSA, ISCA 2021"

COSINE_FRACTION = 7
THRESHOLD_FRACTION = 15
"""Bits behind the point of a threshold; more than any cosine of a hash can tell apart."""
KEEP_ALL = -1 << THRESHOLD_FRACTION
"""The threshold of -1 that all keys pass, those without a length too."""

_EXACT_NORM_BITS = 24
"""No length of a key is cut off at so many."""


class Hashed(NamedTuple):
    """What the filter gives.

    ``kept`` [queries, keys] are the candidates; ``rescued`` [queries] had none and were given their best key; of
    ``norms_cut`` keys the length was cut off.
    """

    kept: Mask
    rescued: npt.NDArray[np.bool_]
    norms_cut: int


@dataclass(frozen=True, kw_only=True)
class Degree(Design):
    """How far the filter approximates: what a threshold is learnt for."""

    p: float = parameter(
        1.0,
        unit="",
        source="degree of approximation: keys above p/n of the softmax are to be kept; 0 keeps all",
        status="recalled",
        low=0.0,
        high=1000.0,
    )


@dataclass(frozen=True, kw_only=True)
class HashedKeys(Design):
    """The choices of the filter.

    Raises (when made):
        InputError: a field out of its range.
    """

    operand_bits: int = parameter(9, unit="bit", source=_PAPER, status="recalled", low=3, high=13)
    fraction_bits: int = parameter(3, unit="bit", source=_PAPER, status="recalled", low=0, high=12)
    norm_bits: int = parameter(8, unit="bit", source=_PAPER, status="recalled", low=2, high=24)
    factor_bits: int = parameter(6, unit="bit", source=_PAPER, status="recalled", low=2, high=12)
    projection: str = parameter(
        "kronecker", unit="", source="others are ablations", status="recalled", choices=tuple(PROJECTIONS)
    )
    seed: int = parameter(0, unit="", source="of the projection", status="assumed", low=0, high=2**63 - 1)

    def select(self, q: Codes32, k: Codes32, threshold: int, allowed: Mask) -> Hashed:
        """The candidates of ``allowed`` [queries, keys], for codes of q and k [n, dim] and a threshold's code."""
        lengths = norms(k, self.norm_bits)
        beyond = int(np.count_nonzero(norms(k, _EXACT_NORM_BITS) > lengths))
        if threshold == KEEP_ALL:  # those of length zero in their codes too
            return Hashed(allowed.copy(), np.zeros(len(q), np.bool_), beyond)
        kept, without = _near(self.hashes(q), self.hashes(k), lengths, self.cosines(q.shape[1]), threshold, allowed)
        return Hashed(kept, without, beyond)

    def select_stack(self, q: Codes32, k: Codes32, threshold: int, allowed: Mask) -> Mask:
        """The candidates of many heads at one threshold, all arrays with a leading axis; each as it is alone."""
        if threshold == KEEP_ALL:
            return allowed.copy()
        table = self.cosines(q.shape[2])
        of_q, of_k = (self.hashes(x.reshape(-1, x.shape[2])).reshape(*x.shape[:2], -1) for x in (q, k))
        lengths = norms(k.reshape(-1, k.shape[2]), self.norm_bits).reshape(k.shape[:2])
        heads = zip(of_q, of_k, lengths, allowed, strict=True)
        return np.stack([_near(a, b, length, table, threshold, may)[0] for a, b, length, may in heads])

    def cosines(self, dim: int) -> npt.NDArray[np.int64]:
        """The cosine's code for every distance."""
        return cosine_table(dim, angle_bias_rad(self.projection, dim), COSINE_FRACTION)

    def hashes(self, x: Codes32) -> Hashes:
        """Hashes of vectors' codes [n, dim].

        Raises:
            InputError: a length that no Kronecker product fits.
        """
        dim = x.shape[1]
        if self.projection == "kronecker":
            return srp_hash_vectors(x, *_factors(dim, self.operand_bits, self.factor_bits, self.seed))
        signs = x.astype(np.float64) @ projection_matrix(self.projection, dim, self.seed).T >= 0
        padded = np.zeros((len(x), -(-dim // WORD) * WORD), np.bool_)
        padded[:, :dim] = signs
        packed: Hashes = np.packbits(padded, axis=1, bitorder="little").view(np.uint64)
        return packed


def _near(
    q: Hashes, k: Hashes, lengths: npt.NDArray[np.int32], table: npt.NDArray[np.int64], threshold: int, allowed: Mask
) -> tuple[Mask, npt.NDArray[np.bool_]]:
    """The candidates of one head, and which queries had none."""
    distance = distances(q, k)
    bound = bound_code(threshold / (1 << THRESHOLD_FRACTION), int(lengths.max()), COSINE_FRACTION)
    kept = candidates(distance, lengths, table, bound) & allowed
    without = np.logical_not(kept.any(axis=1))
    keep_best_where_none(kept, allowed, lambda rows: lengths * table[distance[rows]])
    return kept, without


@lru_cache(maxsize=64)
def _factors(dim: int, x_bits: int, factor_bits: int, seed: int) -> tuple[Factor, Factor, Factor]:
    """Those of the hash unit for vectors of this length; making one checks all its fields, once for each head."""
    a, b, c = sides_for(dim)
    return SrpHash(side_a=a, side_b=b, side_c=c, x_bits=x_bits, factor_bits=factor_bits, seed=seed).factors


def threshold_code(threshold: float) -> int:
    """The nearest threshold that the hardware can be given."""
    return round(threshold * (1 << THRESHOLD_FRACTION))


def learn_threshold(q: Reals32, k: Reals32, above: Mask) -> float:
    """The threshold of one head from the keys of each query, [queries, keys], that are to be kept.

    For every query, of these keys the least score over the product of the query's and the largest key's length;
    their mean (ELSA, section on learning the threshold, recalled). A query without such a key says nothing; without
    any such query all keys are kept: -1.
    """
    return learn_thresholds(q[None], k[None], above[None])[0]


def learn_thresholds(q: Reals32, k: Reals32, above: Mask) -> list[float]:
    """Those of many heads, all arrays with a leading axis; each as it is alone."""
    scores = q.astype(np.float64) @ k.swapaxes(1, 2).astype(np.float64)
    least = np.where(above, scores, np.inf).min(axis=2)
    scale = np.linalg.norm(q, axis=2) * np.linalg.norm(k, axis=2).max(axis=1, keepdims=True)
    having: Mask = np.any(above, axis=2)
    cosines = least / np.maximum(scale, 1e-30)
    means = (np.mean(own[has]) if has.any() else -1.0 for own, has in zip(cosines, having, strict=True))
    return [min(1.0, max(-1.0, float(mean))) for mean in means]
