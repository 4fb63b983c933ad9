"""A low-precision product with a learnt matrix, brought back to low precision: one element of DOTA's Q~ or K~.

A quantized projection x [rank] meets one column w [rank] of the weights; products are summed in 32 bits, exactly, then
``y = clamp(round(sum * scale / 2**shift), -top, top)`` with ``top = 2**(bits - 1) - 1``, ties to even, as in
``quantizer``. Scale and shift are constants of the layer, made by :func:`scale_for` from the largest sum that
calibration has seen. Scores are then the exact dot products of ``int4_predictor``.

Source: Qu et al., DOTA, ASPLOS 2022 (from a reading note): a detector in lower precision, INT4 or INT2. The quantizer's
form is recalled; Sanger's stands in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from siloom.sim.contract import Answer, Codes, Contract, Port, Stream, Unit, Whole
from siloom.sim.design import Design, parameter
from siloom.sim.errors import InputError
from siloom.sim.jit import kernel
from siloom.sim.units.quantizer import round_shift

_DOTA = "Qu et al., DOTA, ASPLOS 2022"
_CHOICE = "free choice of the design"
ACCUMULATOR_BITS = 32
SCALE_BITS = 16


@dataclass(frozen=True, kw_only=True)
class LowRankDetector(Design):
    """The size of one dot product with its quantizer.

    Raises (when made):
        InputError: sums that 32 bits do not hold.
    """

    rank: int = parameter(16, unit="", source=_DOTA, status="recalled", low=1, high=1024)
    bits: int = parameter(4, unit="bit", source=_DOTA, status="recalled", low=2, high=16)
    shift: int = parameter(20, unit="bit", source=_CHOICE, status="assumed", low=0, high=61)
    scale_bits: int = parameter(SCALE_BITS, unit="bit", source=_CHOICE, status="assumed", low=1, high=31)
    stages: int = parameter(3, unit="cycle", source=_CHOICE, status="assumed", low=1, high=16)

    def __post_init__(self) -> None:
        """Refuse sums beyond the accumulator."""
        super().__post_init__()
        top = (1 << (self.bits - 1)) - 1
        if self.rank * top * top >= 1 << (ACCUMULATOR_BITS - 1):
            raise InputError(
                f"low_rank_detector: sums must fit {ACCUMULATOR_BITS} bits, got rank {self.rank} at {self.bits} bits"
            )


def scale_for(largest: int, bits: int) -> tuple[int, int]:
    """``(scale, shift)`` that take ``largest`` to the highest code: the scale has 16 bits, its highest one set.

    Of a largest number of 0, all numbers become 0.
    """
    if largest <= 0:
        return 0, 0
    # Whole numbers, as training asks thousands of times: the least shift that gives top * 2^shift / largest 16 bits.
    top, least = (1 << (bits - 1)) - 1, largest << (SCALE_BITS - 1)
    shift = max(0, least.bit_length() - top.bit_length())
    shift += top << shift < least
    return min(round(Fraction(top << shift, largest)), (1 << SCALE_BITS) - 1), shift


@kernel
def low_rank_vectors(x: Codes, weights: Codes, scale: Codes, shift: int, top: int) -> Codes:
    """Codes [n, columns] of ``x`` [n, rank] times ``weights`` [rank, columns], each row at its ``scale`` [n]."""
    count, rank = x.shape
    columns = weights.shape[1]
    out = np.zeros((count, columns), np.int64)
    for i in range(count):
        for r in range(rank):
            value = x[i, r]
            for j in range(columns):
                out[i, j] += value * weights[r, j]
        for j in range(columns):
            out[i, j] = min(max(round_shift(out[i, j] * scale[i], shift), -top), top)
    return out


@kernel
def low_rank_detector_stream(beats: Codes, rank: int, shift: int, top: int) -> Codes:
    """Codes [beats, 1] of beats of x, w and a scale."""
    out = np.zeros((len(beats), 1), np.int64)
    for i in range(len(beats)):
        total = np.int64(0)
        for j in range(rank):
            total += beats[i, j] * beats[i, rank + j]
        out[i, 0] = min(max(round_shift(total * beats[i, 2 * rank], shift), -top), top)
    return out


def low_rank_detector_reference(x: Sequence[int], w: Sequence[int], scale: int, shift: int, bits: int) -> int:
    """One element, by exact fractions; Python's ``round`` takes ties to even."""
    top = (1 << (bits - 1)) - 1
    total = sum(a * b for a, b in zip(x, w, strict=True))
    return min(max(round(Fraction(total * scale, 2**shift)), -top), top)


def contract(design: LowRankDetector) -> Contract:
    """What a unit of this size promises: a pair of vectors every cycle, their code ``stages`` cycles later."""
    operand = Whole(design.bits)
    top = operand.high

    def function(beats: Codes) -> Answer:
        codes = low_rank_detector_stream(np.ascontiguousarray(beats), design.rank, design.shift, top)
        return Answer(codes, np.arange(len(beats)))

    def legal(beats: Codes) -> Codes:
        # The most negative code is never given: it has no positive twin.
        kept: Codes = np.maximum(beats, np.append(np.full(2 * design.rank, -top), 0))
        return kept

    return Contract(
        name="low_rank_detector",
        inputs=Stream(
            (
                Port("x", operand, "codes of the projection", design.rank),
                Port("w", operand, "codes of one column of the weights", design.rank),
                Port("scale", Whole(design.scale_bits, signed=False, fraction=design.shift), "of the sum, a constant"),
            )
        ),
        outputs=Stream((Port("y", operand, "nearest even, symmetric"),)),
        latency=design.stages,
        interval=1,
        capacity=design.stages,
        function=function,
        legal=legal,
    )


UNIT = Unit(
    name="low_rank_detector",
    summary="a low-precision dot product with learnt weights, quantized again (DOTA)",
    design_type=LowRankDetector,
    contract=contract,
    sizes=(
        LowRankDetector(rank=2, bits=2, shift=15, stages=1),
        LowRankDetector(),
        LowRankDetector(rank=32, bits=8, shift=31, stages=5),
        LowRankDetector(rank=4, shift=23, scale_bits=24, stages=2),
    ),
)
