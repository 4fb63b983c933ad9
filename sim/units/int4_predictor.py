"""Predicted scores from 4-bit operands: the dot products of Sanger's prediction array.

Codes lie between -7 and 7 (see ``quantizer``), so a product has 7 bits and a sum of 64 of them 13: it is exact.
:func:`predicted_scores` is the whole of the software predictor up to the scores, for one head: vectors are normalised,
quantized at a scale that all heads share, and the integer product is scaled back::

    s[i, j] = acc[i, j] / (scale_q scale_k) * |q_i| |k_j| / sqrt(dim)

The test against a threshold is ``mask_threshold``.

Source: Lu et al., Sanger, MICRO 2021, and its software (quant_utils.py, modeling_sanger_*.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from siloom.sim.contract import Answer, Codes, Contract, Port, Stream, Unit, Whole
from siloom.sim.design import Design, parameter
from siloom.sim.jit import kernel
from siloom.sim.units.quantizer import quantize

Singles = npt.NDArray[np.float32]
_SANGER = "Lu et al., Sanger, MICRO 2021"
_CHOICE = "free choice of the design"


@dataclass(frozen=True, kw_only=True)
class Int4Predictor(Design):
    """The size of one dot-product unit; ``bits`` of 2, 6 and 8 are the software's other widths."""

    dim: int = parameter(64, unit="", source=_SANGER, low=1, high=1024)
    bits: int = parameter(4, unit="bit", source=_SANGER, low=2, high=8)
    stages: int = parameter(2, unit="cycle", source=_CHOICE, status="assumed", low=1, high=16)

    @property
    def score(self) -> Whole:
        """Wide enough for the largest sum."""
        top = (1 << (self.bits - 1)) - 1
        return Whole((self.dim * top * top).bit_length() + 1)


def shared_scale(x: Singles, bits: int) -> np.float32:
    """The scale of a whole tensor of normalised vectors: the largest code over the largest element.

    What Sanger's moving maximum has after its first step.
    """
    largest = np.float32(np.abs(normalised(x)).max())
    return np.float32((1 << (bits - 1)) - 1) / max(largest, np.float32(1e-12))


def normalised(x: Singles) -> Singles:
    """Vectors along the last axis, of length one; a zero vector stays."""
    lengths = np.linalg.norm(x, axis=-1, keepdims=True)
    units: Singles = x / np.maximum(lengths, np.float32(1e-30))
    return units


def predicted_scores(q: Singles, k: Singles, scale_q: np.float32, scale_k: np.float32, bits: int) -> Singles:
    """Scores of one head in units of the softmax, [queries, keys], for q and k [n, dim]."""
    codes_q, codes_k = quantize(normalised(q), scale_q, bits), quantize(normalised(k), scale_k, bits)
    # Sums of 1024 products of 7 bits are whole numbers that single precision holds.
    sums = codes_q.astype(np.float32) @ codes_k.astype(np.float32).T
    lengths = np.outer(np.linalg.norm(q, axis=1), np.linalg.norm(k, axis=1)).astype(np.float32)
    scores: Singles = sums / (scale_q * scale_k) * lengths / np.float32(math.sqrt(q.shape[1]))
    return scores


@kernel
def int4_predictor_stream(beats: Codes, dim: int) -> Codes:
    """Dot product of each beat's first and second ``dim`` columns, [beats, 1]."""
    out = np.zeros((len(beats), 1), np.int64)
    for i in range(len(beats)):
        for j in range(dim):
            out[i, 0] += beats[i, j] * beats[i, dim + j]
    return out


def int4_predictor_reference(q: Sequence[int], k: Sequence[int]) -> int:
    """One dot product."""
    return sum(a * b for a, b in zip(q, k, strict=True))


def contract(design: Int4Predictor) -> Contract:
    """What a unit of this size promises: a pair of vectors every cycle, their product ``stages`` cycles later."""
    operand = Whole(design.bits)

    def function(beats: Codes) -> Answer:
        return Answer(int4_predictor_stream(np.ascontiguousarray(beats), design.dim), np.arange(len(beats)))

    return Contract(
        name="int4_predictor",
        inputs=Stream(
            (
                Port("q", operand, "codes of the query", design.dim),
                Port("k", operand, "codes of the key", design.dim),
            )
        ),
        outputs=Stream((Port("score", design.score, "exact product"),)),
        latency=design.stages,
        interval=1,
        capacity=design.stages,
        function=function,
        # The most negative code is never given: it has no positive twin, and the sum no room for it.
        legal=lambda beats: np.maximum(beats, operand.low + 1),
    )


UNIT = Unit(
    name="int4_predictor",
    summary="exact dot products of 4-bit vectors, for predicted scores (Sanger)",
    design_type=Int4Predictor,
    contract=contract,
    sizes=(Int4Predictor(dim=2, bits=2, stages=1), Int4Predictor(), Int4Predictor(dim=32, bits=8, stages=4)),
)
