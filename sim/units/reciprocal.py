"""One over a sum of weights in single precision, correctly rounded; of nothing, nothing (ELSA).

The result is the single nearest to the exact quotient: there are no ties, for a power of two has an exact reciprocal
and of any other number the quotient never ends. Numbers are promised to be zero, or positive with an exponent field
from 1 to 252, so that the result is a normal number too.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from siloom.sim.contract import FP32, Answer, Codes, Contract, Port, Stream, Unit
from siloom.sim.design import Design, parameter

Singles = npt.NDArray[np.float32]
_CHOICE = "free choice of the design"

MOST_FIELD = 252
"""The largest exponent field whose reciprocals are all normal numbers."""


@dataclass(frozen=True, kw_only=True)
class Reciprocal(Design):
    """The size of one unit, which is a pipeline: ``stages`` divide the digits of the quotient among them."""

    stages: int = parameter(12, unit="cycle", source=_CHOICE, status="assumed", low=1, high=26)


def reciprocals(total: Singles) -> Singles:
    """One over each number above zero, zero for the others."""
    above = total > 0
    one = np.float32(1.0)
    found: Singles = np.where(above, one / np.where(above, total, one), np.float32(0.0))
    return found


def reciprocal_reference(total: Fraction) -> Fraction:
    """The quotient rounded to 24 significant bits, in exact fractions."""
    if total == 0:
        return Fraction(0)
    exact, scale = 1 / total, Fraction(1)
    while exact * scale < 2**23:
        scale *= 2
    while exact * scale >= 2**24:
        scale /= 2
    return round(exact * scale) / scale


def contract(design: Reciprocal) -> Contract:
    """What a unit of this size promises: a number every cycle, its reciprocal ``stages`` cycles later."""

    def function(beats: Codes) -> Answer:
        found = reciprocals(beats.astype(np.uint32).view(np.float32))
        return Answer(found.view(np.uint32).astype(np.int64), np.arange(len(beats)))

    return Contract(
        name="reciprocal",
        inputs=Stream((Port("total", FP32, "a sum of weights: zero, or positive and normal"),)),
        outputs=Stream((Port("share", FP32, "one over it, nearest; zero of zero"),)),
        latency=design.stages,
        interval=1,
        capacity=design.stages,
        function=function,
        legal=_legal,
    )


def _legal(beats: Codes) -> Codes:
    """Without a sign; exponent fields of 0 or above ``MOST_FIELD`` become zero."""
    size = beats & (2**31 - 1)
    field = size >> FP32.mantissa_bits
    return np.where((field < 1) | (field > MOST_FIELD), 0, size)


UNIT = Unit(
    name="reciprocal",
    summary="one over a single-precision number, correctly rounded (ELSA)",
    design_type=Reciprocal,
    contract=contract,
    sizes=(Reciprocal(stages=1), Reciprocal(), Reciprocal(stages=26), Reciprocal(stages=7)),
)
