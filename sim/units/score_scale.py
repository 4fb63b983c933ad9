"""A whole product scaled to a score with a fixed binary point: between an integer array and its exponentials (Sanger).

``score = product * row * key / 2**shift``, rounded half to even and cut off at the ends of its format. ``row`` and
``key`` are what the product's two vectors were divided by when they were quantized, as whole numbers of one power of
two each (block floating point, :func:`block_scales`); ``shift`` takes both powers and the score's own point together,
and so stays the same for all scores of a head.

Source: Sanger's software scales in single precision (quant_utils.py); its RTL leaves the scaling out. Widths are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from siloom.sim.contract import Answer, Codes, Contract, Port, Stream, Unit, Whole
from siloom.sim.design import Design, parameter
from siloom.sim.errors import InputError
from siloom.sim.jit import inline_kernel, kernel
from siloom.sim.units.quantizer import round_shift

_CHOICE = "free choice of the design"


@dataclass(frozen=True, kw_only=True)
class ScoreScale(Design):
    """The size of one scaling unit.

    Raises (when made):
        InputError: products beyond 62 bits, or a point outside the score.
    """

    product_bits: int = parameter(13, unit="bit", source=_CHOICE, status="assumed", low=2, high=48)
    row_bits: int = parameter(16, unit="bit", source=_CHOICE, status="assumed", low=1, high=24)
    key_bits: int = parameter(16, unit="bit", source=_CHOICE, status="assumed", low=1, high=24)
    score_bits: int = parameter(32, unit="bit", source=_CHOICE, status="assumed", low=2, high=48)
    fraction: int = parameter(16, unit="bit", source=_CHOICE, status="assumed", low=0, high=47)
    stages: int = parameter(2, unit="cycle", source=_CHOICE, status="assumed", low=1, high=8)

    def __post_init__(self) -> None:
        """Refuse what a 64-bit word cannot hold."""
        super().__post_init__()
        if self.product_bits + self.row_bits + self.key_bits > 62:
            raise InputError(
                f"score_scale: product_bits, row_bits and key_bits must be at most 62 together, got {self.product_bits}"
            )
        if self.fraction >= self.score_bits:
            raise InputError(f"score_scale: fraction must be below score_bits, got {self.fraction}")

    @property
    def score(self) -> Whole:
        """Format of a score."""
        return Whole(self.score_bits, fraction=self.fraction)

    @property
    def shifted(self) -> Whole:
        """Format of the shift."""
        return Whole(6, signed=False)


def block_scales(scales: npt.NDArray[np.floating], bits: int, least: int) -> tuple[npt.NDArray[np.int64], int]:
    """Whole numbers of ``bits`` for positive scales, and the power of two that they all are multiplied with.

    The power is at least ``least``, so that two of them leave a shift that is not negative; scales too large for it
    stay at the largest number.
    """
    largest = float(scales.max(initial=0.0))
    power = max(least, bits - math.frexp(largest)[1]) if largest > 0 else least
    power = min(power, 31)  # two powers are a shift of 62 at most
    codes = np.rint(scales.astype(np.float64) * 2.0**power)
    return np.minimum(codes, (1 << bits) - 1).astype(np.int64), power


@inline_kernel
def scale_score(product: int, row: int, key: int, shift: int, score_bits: int) -> np.int64:
    """One score's code."""
    top = (1 << (score_bits - 1)) - 1
    return np.int64(min(max(round_shift(product * row * key, shift), -top - 1), top))


@kernel
def scaled_scores(products: Codes, rows: Codes, keys: Codes, shift: int, score_bits: int) -> Codes:
    """Codes of all ``products`` [queries, keys], with a scale for each row and for each key."""
    out = np.empty(products.shape, np.int64)
    for i in range(products.shape[0]):
        for j in range(products.shape[1]):
            out[i, j] = scale_score(products[i, j], rows[i], keys[j], shift, score_bits)
    return out


@kernel
def score_scale_stream(beats: Codes, score_bits: int) -> Codes:
    """A score [beats, 1] of each beat: product, row, key, shift."""
    out = np.empty((len(beats), 1), np.int64)
    for i in range(len(beats)):
        out[i, 0] = scale_score(beats[i, 0], beats[i, 1], beats[i, 2], beats[i, 3], score_bits)
    return out


def score_scale_reference(product: int, row: int, key: int, shift: int, score_bits: int) -> int:
    """One score by exact fractions."""
    exact = round(Fraction(product * row * key, 2**shift))  # Python rounds half to even
    end = 1 << (score_bits - 1)
    return min(max(exact, -end), end - 1)


def contract(design: ScoreScale) -> Contract:
    """What a unit of this size promises: a product every cycle, its score ``stages`` cycles later."""

    def function(beats: Codes) -> Answer:
        return Answer(score_scale_stream(np.ascontiguousarray(beats), design.score_bits), np.arange(len(beats)))

    return Contract(
        name="score_scale",
        inputs=Stream(
            (
                Port("product", Whole(design.product_bits), "a whole product of two vectors"),
                Port("row", Whole(design.row_bits, signed=False), "scale of the query"),
                Port("key", Whole(design.key_bits, signed=False), "scale of the key"),
                Port("shift", design.shifted, "places by which the point moves"),
            )
        ),
        outputs=Stream((Port("score", design.score, "nearest even, cut off at its ends"),)),
        latency=design.stages,
        interval=1,
        capacity=design.stages,
        function=function,
    )


UNIT = Unit(
    name="score_scale",
    summary="a whole product scaled to a score with a fixed binary point (Sanger)",
    design_type=ScoreScale,
    contract=contract,
    sizes=(
        ScoreScale(product_bits=3, row_bits=2, key_bits=1, score_bits=3, fraction=1, stages=1),
        ScoreScale(),
        ScoreScale(product_bits=38, key_bits=2, stages=3),
    ),
)
