"""Keys chosen by predicted scores: the mask of Sanger (Lu et al., MICRO 2021).

Scores of low-precision operands (``sim/units/int4_predictor.py``) go through a softmax and are held against a
threshold. All behind the quantizer is whole numbers, as hardware has them: vectors come in as codes with a scale each,
which ``score_scale.py`` multiplies back onto their products. Powers below ``exp(-window)`` of the row's largest are
zero. A row of which nothing passes keeps its likeliest key.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from siloom.sim.approximation import Mask
from siloom.sim.design import Design, parameter
from siloom.sim.drawn_attention import Reals32
from siloom.sim.selection.best_key import keep_best_where_none
from siloom.sim.units.exp_sanger import ExpSanger, exp_sanger_stream, largest_input, step_table
from siloom.sim.units.int4_predictor import normalised
from siloom.sim.units.mask_threshold import MaskThreshold, above_threshold
from siloom.sim.units.quantizer import quantize
from siloom.sim.units.score_scale import ScoreScale, block_scales, scaled_scores

Ints = npt.NDArray[np.int64]
_PAPER = "Lu et al., Sanger, MICRO 2021 (from a reading note of the full text)"

EXP = ExpSanger()
SCALE = ScoreScale(fraction=EXP.fraction)


@dataclass(frozen=True)
class PredictorOperands:
    """One head as the prediction array gets it.

    ``q`` and ``k`` [n, dim]: codes of vectors of length one. ``rows`` [n] and ``keys`` [n]: what they are to be
    multiplied with, in units that ``shift`` and the score's own point take off (:mod:`siloom.sim.units.score_scale`).
    """

    q: npt.NDArray[np.int8]
    k: npt.NDArray[np.int8]
    rows: Ints
    keys: Ints
    shift: int

    @classmethod
    def of(cls, q: Reals32, k: Reals32, scales: tuple[np.float32, np.float32], bits: int) -> PredictorOperands:
        """Those of a head's ``q`` and ``k`` [n, dim], at the scales of Q and K that all heads share."""
        codes_q, codes_k = (quantize(normalised(x), scale, bits) for x, scale in zip((q, k), scales, strict=True))
        lengths_q, lengths_k = (np.linalg.norm(x.astype(np.float64), axis=1) for x in (q, k))
        least = -(-SCALE.fraction // 2)
        rows, row_power = block_scales(lengths_q / scales[0] / math.sqrt(q.shape[1]), SCALE.row_bits, least)
        keys, key_power = block_scales(lengths_k / scales[1], SCALE.key_bits, least)
        shift = row_power + key_power - SCALE.fraction
        return cls(codes_q.astype(np.int8), codes_k.astype(np.int8), rows, keys, shift)

    def scores(self) -> Ints:
        """Codes of all predicted scores, [queries, keys]."""
        # Sums of 1024 products of 7 bits are whole numbers that single precision holds.
        sums = (self.q.astype(np.float32) @ self.k.astype(np.float32).T).astype(np.int64)
        return scaled_scores(sums, self.rows, self.keys, self.shift, SCALE.score_bits)


class Predicted(NamedTuple):
    """The mask [queries, keys], the code of each row's largest score, and how many rows got their likeliest key."""

    kept: Mask
    largest: Ints
    rescued: int


@lru_cache(maxsize=64)
def _mask_unit(threshold: float, total_bits: int) -> MaskThreshold:
    """Made once for all heads: to check its fields takes longer than the masks of a short head."""
    return MaskThreshold(threshold=threshold, total_bits=total_bits, threshold_bits=min(20, 62 - total_bits))


@dataclass(frozen=True, kw_only=True)
class PredictedScores(Design):
    """The choices of the mask.

    Raises (when made):
        InputError: a field out of its range.
    """

    predictor_bits: int = parameter(4, unit="bit", source=_PAPER, low=2, high=8)
    threshold: float = parameter(2e-3, unit="", source=_PAPER + "; 2e-2 for GLUE; 0 keeps all", low=0.0, high=1.0)
    exponent: str = parameter(
        "table",
        unit="",
        source="of predicted scores: table, as the RTL's unit, or exact, as the software",
        status="assumed",
        choices=("table", "exact"),
    )
    window: float = parameter(8.0, unit="", source="the paper gives none", status="assumed", low=1.0, high=11.0)

    def select(self, q: Reals32, k: Reals32, scales: tuple[np.float32, np.float32], allowed: Mask) -> Predicted:
        """The mask of one head, of ``allowed`` [queries, keys]; ``q`` and ``k`` [n, dim], scales as in the operands."""
        return self._rows(PredictorOperands.of(q, k, scales, self.predictor_bits).scores(), allowed)

    def select_stack(self, q: Reals32, k: Reals32, scales: tuple[np.float32, np.float32], allowed: Mask) -> Mask:
        """The masks of many heads, all arrays with a leading axis; each as it is alone."""
        scores = [PredictorOperands.of(*head, scales, self.predictor_bits).scores() for head in zip(q, k, strict=True)]
        keys = k.shape[1]
        return self._rows(np.concatenate(scores), allowed.reshape(-1, keys)).kept.reshape(allowed.shape)

    def _rows(self, scores: Ints, allowed: Mask) -> Predicted:
        """The mask of rows of scores, of whatever heads: none looks at another one."""
        largest = scores.max(axis=1, where=allowed, initial=np.iinfo(np.int64).min)
        below = scores - largest[:, None]
        if self.threshold == 0:
            kept = allowed.copy()
        elif self.exponent == "exact":
            # Scores that are not allowed may lie above the largest: their powers are not looked at, but might overflow.
            powers = np.where(allowed, np.exp(np.minimum(below, 0) / (1 << SCALE.fraction)), 0.0)
            kept = powers > self.threshold * powers.sum(axis=1, keepdims=True)
        else:
            unit = self.mask_unit(scores.shape[1])
            table_powers = np.where(allowed, self.powers(below), 0)
            kept = above_threshold(table_powers, table_powers.sum(axis=1), unit.constant, unit.threshold_bits)
        kept &= allowed
        return Predicted(kept, largest, keep_best_where_none(kept, allowed, lambda rows: scores[rows]))

    def mask_unit(self, keys: int) -> MaskThreshold:
        """The comparison for rows of so many keys."""
        return _mask_unit(self.threshold, EXP.width + (keys - 1).bit_length())

    @property
    def window_code(self) -> int:
        """What is added to a score below its row's largest, so that the exponential's input is not negative."""
        return round(self.window * (1 << EXP.fraction))

    def powers(self, below: Ints) -> Ints:
        """Codes of e^(x + window) through the RTL's unit, of codes of x; zero where x is below the window."""
        shifted = below + self.window_code
        codes = np.clip(shifted, 0, largest_input(EXP))
        table = step_table(EXP.fraction, EXP.table_bits, EXP.append)
        powers = exp_sanger_stream(codes.ravel(), EXP.width, EXP.fraction, table, EXP.table_bits, EXP.append)
        return np.where(shifted < 0, 0, powers.reshape(below.shape))
