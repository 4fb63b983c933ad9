"""Single-precision sums times one scale, as whole numbers: what a weighted mean is sent out as (ELSA).

The product is rounded to a single, and that to a whole number, both to nearest even. Beyond the ends of the code's
format it stays at the nearer one; a weighted mean never gets there, for it lies within its values.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from siloom.sim.contract import FP32, Answer, Codes, Contract, Port, Stream, Unit, Whole
from siloom.sim.design import Design, parameter

Singles = npt.NDArray[np.float32]
_CHOICE = "free choice of the design"


@dataclass(frozen=True, kw_only=True)
class ScaledCode(Design):
    """The size of one unit."""

    lanes: int = parameter(16, unit="", source=_CHOICE, status="assumed", low=1, high=4096)
    code_bits: int = parameter(9, unit="bit", source=_CHOICE, status="assumed", low=2, high=20)
    stages: int = parameter(3, unit="cycle", source=_CHOICE, status="assumed", low=1, high=16)

    @property
    def code(self) -> Whole:
        """Format of a result."""
        return Whole(self.code_bits)


def scaled_codes(values: Singles, scale: Singles, code_bits: int) -> npt.NDArray[np.int64]:
    """Codes of ``values * scale``, broadcast."""
    top = np.float32((1 << (code_bits - 1)) - 1)
    with np.errstate(over="ignore"):  # what is beyond all singles is cut off, too
        whole = np.clip(np.rint(values * scale), -top - 1, top)
    found: npt.NDArray[np.int64] = whole.astype(np.int64)
    return found


def scaled_code_reference(value: Fraction, scale: Fraction, code_bits: int) -> int:
    """One code in exact fractions, of a product that is not below the smallest normal single."""
    exact, step = value * scale, Fraction(1)
    if exact:
        while abs(exact) / step >= 2**24:
            step *= 2
        while abs(exact) / step < 2**23:
            step /= 2
    top: int = (1 << (code_bits - 1)) - 1
    return min(max(round(round(exact / step) * step), -top - 1), top)


def contract(design: ScaledCode) -> Contract:
    """What a unit of this size promises: ``lanes`` sums and a scale every cycle, codes ``stages`` cycles later."""

    def function(beats: Codes) -> Answer:
        singles = beats.astype(np.uint32).view(np.float32).reshape(beats.shape)
        return Answer(scaled_codes(singles[:, :-1], singles[:, -1:], design.code_bits), np.arange(len(beats)))

    return Contract(
        name="scaled_code",
        inputs=Stream(
            (
                Port("value", FP32, "sums: finite", design.lanes),
                Port("scale", FP32, "what they are multiplied by: zero, or positive and normal"),
            )
        ),
        outputs=Stream((Port("code", design.code, "whole numbers, nearest even, saturating", design.lanes),)),
        latency=design.stages,
        interval=1,
        capacity=design.stages,
        function=function,
        legal=_legal,
    )


def _legal(beats: Codes) -> Codes:
    """Sums around those whose product with the scale is a code, with any sign; no scale beyond the normal numbers."""
    legal = beats.copy()
    field = (beats >> FP32.mantissa_bits) & 255
    mantissa = beats & (2**FP32.mantissa_bits - 1)
    scale = np.where((field[:, -1] < 1) | (field[:, -1] > 254), 0, beats[:, -1] & (2**31 - 1))
    legal[:, -1] = scale
    # Exponents of product and code agree within 16 binades either way for most; the rest stay where they are drawn.
    near = np.clip(254 - field[:, -1:] + (field[:, :-1] & 31) - 16, 0, 254)
    drawn = np.where(beats[:, :-1] & 7, near, np.minimum(field[:, :-1], 254))
    legal[:, :-1] = (beats[:, :-1] >> 31 & 1) << 31 | drawn << FP32.mantissa_bits | mantissa[:, :-1]
    return legal


UNIT = Unit(
    name="scaled_code",
    summary="single-precision sums times a scale, rounded to whole numbers (ELSA)",
    design_type=ScaledCode,
    contract=contract,
    sizes=(
        ScaledCode(lanes=1, code_bits=4, stages=1),
        ScaledCode(lanes=4),
        ScaledCode(lanes=3, code_bits=13, stages=6),
    ),
)
