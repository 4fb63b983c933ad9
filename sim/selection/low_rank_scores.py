"""Keys chosen by a low-rank detector: DOTA's (Qu et al., ASPLOS 2022); which weights it has, and its scores.

``S~ = Q~ K~^T`` with ``Q~ = quantized(quantized(Q P) W~q)`` and K~ alike. In the paper X, the layer's input, is
projected, and W~q and W~k are learnt jointly with the model, by the mean square of S - S~ added to its loss. An
Attention operation has Q and K instead of X; here P projects them, and the weights are what that loss alone asks for
on calibration data: the least-squares fit of ``(Q P) W~q W~k^T (K P)^T`` to ``Q K^T``, over projections as they are
once quantized. Its rank is that of P. The product W~q W~k^T is shared out so that Q~ and K~ have the same lengths by
component (a singular value decomposition), then both are quantized.

Every quantizer takes some number of its calibration data to its highest code: the largest one, or that beyond which it
is best to cut off, by the mean square of the error (``ranges``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from siloom.sim.approximation import Mask
from siloom.sim.design import Design, parameter
from siloom.sim.errors import InputError
from siloom.sim.fixed_point import Codes32, exact_products
from siloom.sim.units.low_rank_detector import low_rank_vectors, scale_for
from siloom.sim.units.quantizer import quantizer_stream
from siloom.sim.units.row_topk import top_of_rows
from siloom.sim.units.ternary_projection import Ternary, ternary_matrix, ternary_projection_vectors

Ints = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]

_PAPER = "Qu et al., DOTA, ASPLOS 2022"
_NOTE = _PAPER + " (from a reading note)"
_SILENT = "the paper was not at hand"

RANGES = ("max", "least-error")
WEIGHTS = ("least-squares", "identity")
_CUTS = 32
"""Ranges tried, equal steps up to the largest number."""


@dataclass(frozen=True, kw_only=True)
class LowRankScores(Design):
    """The choices of the detector, but for its weights; each row keeps its ``keep`` best keys.

    Raises (when made):
        InputError: a field out of its range, or detector_bits that no multiplier is made of.
    """

    retention: float = parameter(
        0.1,
        unit="",
        source="share of keys that a row keeps; " + _PAPER + ": about 0.03 to 0.2",
        status="recalled",
        low=1e-6,
        high=1.0,
    )
    detector_bits: int = parameter(4, unit="bit", source=_PAPER + ": 2 or 4", status="recalled", low=2, high=8)
    rank_share: float = parameter(
        0.25, unit="", source="rank of the detector over dim; " + _PAPER, status="recalled", low=1e-3, high=1.0
    )
    ranges: str = parameter(
        RANGES[0],
        unit="",
        source="what quantizers take to their highest code: the largest number, or of least error",
        status="assumed",
        choices=RANGES,
    )
    operand_bits: int = parameter(16, unit="bit", source=_NOTE, low=4, high=16)
    fraction_bits: int = parameter(8, unit="bit", source=_SILENT, status="assumed", low=0, high=15)
    seed: int = parameter(0, unit="", source="of the projection", status="assumed", low=0, high=2**63 - 1)

    def __post_init__(self) -> None:
        """Check what a range cannot say."""
        super().__post_init__()
        if self.detector_bits not in (2, 4, 8):
            raise InputError(f"dota: detector_bits must be 2, 4 or 8, got {self.detector_bits}")

    def rank(self, dim: int) -> int:
        """Length of Q~ and K~."""
        return max(1, round(self.rank_share * dim))

    def keep(self, keys: int) -> int:
        """Keys that a row keeps of so many: ``ceil(retention * keys)``, 0.07 of 100 being 7."""
        return min(keys, max(1, math.ceil(round(self.retention * keys, 9))))

    def matrix(self, dim: int) -> Ternary:
        """P [dim, rank]."""
        return ternary_matrix(dim, self.rank(dim), self.seed)

    def best(self, scores: Codes32, allowed: Mask) -> Mask:
        """The best keys of each row, of those allowed, both [queries, keys]; all of them where there are fewer."""
        rows, keys = scores.shape
        among = np.where(allowed, scores, np.iinfo(np.int32).min)
        chosen = top_of_rows(among, np.full(rows, keys, np.int64), np.full(rows, self.keep(keys)))
        best: Mask = chosen & allowed
        return best


@dataclass(frozen=True, eq=False)
class Side:
    """One side of the detector: weights [rank, rank], and ``(scale, shift)`` before and after them."""

    weights: Ints
    before: tuple[int, int]
    after: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Detector:
    """Everything that is fixed once calibration is done; ``matrix`` is P [dim, rank]."""

    matrix: Ternary
    bits: int
    query: Side
    key: Side

    def low_rank(self, x: Codes32, side: Side) -> Ints:
        """Q~ or K~ [n, rank] of operands' codes [n, dim]."""
        top = (1 << (self.bits - 1)) - 1
        codes = _quantized(_projected(x, self.matrix), side.before, top)
        scale, shift = side.after
        return low_rank_vectors(codes, side.weights, np.full(len(x), scale), shift, top)

    def scores(self, q: Codes32, k: Codes32) -> Codes32:
        """S~ [queries, keys] of operands' codes, exact products of Q~ and K~."""
        low_q, low_k = (x.astype(np.int32) for x in (self.low_rank(q, self.query), self.low_rank(k, self.key)))
        products: Codes32 = exact_products(low_q, low_k, self.bits).astype(np.int32)
        return products


def calibrate(
    q: Codes32, k: Codes32, matrix: Ternary, bits: int, *, weights: str = WEIGHTS[0], ranges: str = RANGES[0]
) -> Detector:
    """The detector for calibration operands ``q`` [queries, dim] and ``k`` [keys, dim], as codes.

    ``weights`` ``identity`` is the null version, whose S~ is the estimate of the projection alone.
    """
    fronts = [_front(x, matrix, bits, ranges) for x in (q, k)]
    exact: tuple[Reals, Reals] = (np.eye(matrix.shape[1]), np.eye(matrix.shape[1]))
    if weights == "least-squares":
        a, b = (front.codes.astype(np.float64) for front in fronts)
        exact = least_squares_weights(a, b, q.astype(np.float64), k.astype(np.float64))
    return Detector(matrix, bits, *(_side(*pair, bits, ranges) for pair in zip(fronts, exact, strict=True)))


def detector_of(
    q: Codes32, k: Codes32, matrix: Ternary, bits: int, exact: tuple[Reals, Reals], *, ranges: str = RANGES[0]
) -> Detector:
    """The detector of given weights W~q and W~k [rank, rank], real numbers; ranges are those that q and k ask for.

    Weights are for quantized projections, whatever their scale: no choice among a row's scores depends on it.
    """
    fronts = [_front(x, matrix, bits, ranges) for x in (q, k)]
    return Detector(matrix, bits, *(_side(*pair, bits, ranges) for pair in zip(fronts, exact, strict=True)))


class _Front(NamedTuple):
    """Quantized projections [n, rank] and what quantized them."""

    codes: Ints
    scale: tuple[int, int]


def _front(x: Codes32, matrix: Ternary, bits: int, ranges: str) -> _Front:
    top = (1 << (bits - 1)) - 1
    projected = _projected(x, matrix)
    scale = scale_for(_range(projected, top, ranges), bits)
    return _Front(_quantized(projected, scale, top), scale)


def _side(front: _Front, real: Reals, bits: int, ranges: str) -> Side:
    top = (1 << (bits - 1)) - 1
    reach = float(np.abs(real).max())
    # In steps of a 2^20th of the largest weight, so that ranges are whole numbers.
    fine = np.rint(real * ((1 << 20) / reach if reach else 0.0)).astype(np.int64)
    whole = _quantized(fine, scale_for(_range(fine, top, ranges), bits), top)
    return Side(whole, front.scale, scale_for(_range(front.codes @ whole, top, ranges), bits))


def least_squares_weights(a: Reals, b: Reals, q: Reals, k: Reals) -> tuple[Reals, Reals]:
    """W~q and W~k [rank, rank] for which ``a W~q (b W~k)^T`` is nearest to ``q k^T`` in the Frobenius norm.

    ``a`` [queries, rank] and ``b`` [keys, rank] are projections of ``q`` and ``k``; of many solutions the smallest.
    """
    best = (np.linalg.pinv(a) @ q) @ (np.linalg.pinv(b) @ k).T
    # The singular values of a best b^T by its small factors.
    left, right = _triangle(a), _triangle(b)
    u, s, vt = np.linalg.svd(left @ best @ right.T, full_matrices=False)
    rank = a.shape[1]
    halves = np.linalg.pinv(left) @ (u * np.sqrt(s)), np.linalg.pinv(right) @ (vt.T * np.sqrt(s))
    # Fewer vectors than the rank give fewer components: the others are zero.
    out_q, out_k = (np.pad(half, ((0, 0), (0, rank - half.shape[1]))) for half in halves)
    return out_q, out_k


def _triangle(x: Reals) -> Reals:
    triangle: Reals = np.asarray(np.linalg.qr(x, mode="r"))
    return triangle


def _range(x: Ints, top: int, ranges: str) -> int:
    """What the highest code stands for."""
    largest = int(np.abs(x).max())
    if ranges == "max" or largest == 0:
        return largest
    sizes = np.abs(x).ravel().astype(np.float64)

    def error(cut: float) -> float:
        step = cut / top
        return float(np.sum(np.square(np.minimum(np.rint(sizes / step), top) * step - sizes)))

    cuts: list[float] = [largest * at / _CUTS for at in range(1, _CUTS + 1)]
    return max(1, round(cuts[int(np.argmin([error(cut) for cut in cuts]))]))


def _projected(x: Codes32, matrix: npt.NDArray[Any]) -> Ints:
    return ternary_projection_vectors(x.astype(np.int64), matrix.astype(np.int64))


def _quantized(x: Ints, scale: tuple[int, int], top: int) -> Ints:
    return quantizer_stream(x, np.full(len(x), scale[0]), scale[1], top)
