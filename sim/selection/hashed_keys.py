"""Keys chosen by their hashes: the filter of ELSA (Ham et al., ISCA 2021).

A hash is the signs of a projection's components. Of query and key they differ in about as many bits as the angle
between them is large; a key passes where its length times the cosine of that angle, made safe by a bias
(:mod:`siloom.sim.hash_angle`), is above a threshold times the longest key's length. The query's own length
falls out. The threshold is learnt: see :func:`learn_threshold`.
"""

from __future__ import annotations

from dataclasses import dataclass
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
from siloom.sim.units.srp_hash import WORD, Hashes, SrpHash, sides_for, srp_hash_vectors

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
        dim = q.shape[1]
        lengths = norms(k, self.norm_bits)
        beyond = int(np.count_nonzero(norms(k, _EXACT_NORM_BITS) > lengths))
        if threshold == KEEP_ALL:  # those of length zero in their codes too
            return Hashed(allowed.copy(), np.zeros(len(q), np.bool_), beyond)
        table = cosine_table(dim, angle_bias_rad(self.projection, dim), COSINE_FRACTION)
        distance = distances(self.hashes(q), self.hashes(k))
        bound = bound_code(threshold / (1 << THRESHOLD_FRACTION), int(lengths.max()), COSINE_FRACTION)
        kept = candidates(distance, lengths, table, bound) & allowed
        without = np.logical_not(kept.any(axis=1))
        keep_best_where_none(kept, allowed, lambda rows: lengths * table[distance[rows]])
        return Hashed(kept, without, beyond)

    def hashes(self, x: Codes32) -> Hashes:
        """Hashes of vectors' codes [n, dim].

        Raises:
            InputError: a length that no Kronecker product fits.
        """
        dim = x.shape[1]
        if self.projection == "kronecker":
            a, b, c = sides_for(dim)
            unit = SrpHash(
                side_a=a, side_b=b, side_c=c, x_bits=self.operand_bits, factor_bits=self.factor_bits, seed=self.seed
            )
            return srp_hash_vectors(x, *unit.factors)
        signs = x.astype(np.float64) @ projection_matrix(self.projection, dim, self.seed).T >= 0
        padded = np.zeros((len(x), -(-dim // WORD) * WORD), np.bool_)
        padded[:, :dim] = signs
        packed: Hashes = np.packbits(padded, axis=1, bitorder="little").view(np.uint64)
        return packed


def threshold_code(threshold: float) -> int:
    """The nearest threshold that the hardware can be given."""
    return round(threshold * (1 << THRESHOLD_FRACTION))


def learn_threshold(q: Reals32, k: Reals32, above: Mask) -> float:
    """The threshold of one head from the keys of each query, [queries, keys], that are to be kept.

    For every query, of these keys the least score over the product of the query's and the largest key's length;
    their mean (ELSA, section on learning the threshold, recalled). A query without such a key says nothing; without
    any such query all keys are kept: -1.
    """
    having = above.any(axis=1)
    if not having.any():
        return -1.0
    scores = q.astype(np.float64) @ k.T.astype(np.float64)
    least = np.where(above, scores, np.inf).min(axis=1)[having]
    scale = np.linalg.norm(q, axis=1)[having] * np.linalg.norm(k, axis=1).max()
    return float(np.clip(np.mean(least / np.maximum(scale, 1e-30)), -1.0, 1.0))
