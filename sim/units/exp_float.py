"""e^x as a small floating-point number, by a table: how ELSA weighs a score without knowing the largest.

The score, a whole number, is multiplied by ``log2(e)`` in its own units (a constant of ``scale_bits``), which
leaves a power of two to be had: its whole part becomes the exponent, the first ``table_bits`` of the rest
look up a mantissa of ``mantissa_bits``; the bits behind them are cut off::

    y = score * round(unit * log2(e) * 2**scale_bits)
    e^(score * unit) ~ 2**floor(y) * round(2**(i / 2**table_bits), mantissa_bits)

The result's error is that of the cut, at most ``2**(2**-table_bits) - 1`` (1.1 % by default) from above, and that of
the table's rounding. Below 2^-126 a result is zero; from ``2**(largest_exponent + 1)`` on it is the largest number
below that, far enough from the end of single precision that sums of products with it stay finite.

Source: ELSA (ISCA 2021) has a table and a custom floating point for exponents and their sums (recalled); all widths
here are assumed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from siloom.sim.contract import Answer, Codes, Contract, Float, Port, Stream, Unit, Whole
from siloom.sim.design import Design, parameter
from siloom.sim.errors import InputError
from siloom.sim.jit import inline_kernel, kernel

_CHOICE = "free choice of the design"


@dataclass(frozen=True, kw_only=True)
class ExpFloat(Design):
    """The size of one exponential unit; ``unit`` is what one in the score's last place stands for."""

    score_bits: int = parameter(24, unit="bit", source=_CHOICE, status="assumed", low=2, high=40)
    unit: float = parameter(
        2.0**-9, unit="", source="9-bit operands of length 64", status="assumed", low=1e-12, high=1.0
    )
    scale_bits: int = parameter(24, unit="bit", source=_CHOICE, status="assumed", low=4, high=60)
    table_bits: int = parameter(6, unit="bit", source=_CHOICE, status="assumed", low=1, high=12)
    mantissa_bits: int = parameter(10, unit="bit", source=_CHOICE, status="assumed", low=1, high=23)
    largest_exponent: int = parameter(96, unit="", source=_CHOICE, status="assumed", low=0, high=127)
    stages: int = parameter(3, unit="cycle", source=_CHOICE, status="assumed", low=1, high=16)

    def __post_init__(self) -> None:
        """Refuse products that a 64-bit word cannot hold, and a constant that has no bits left."""
        super().__post_init__()
        if self.score_bits + self.scale.bit_length() > 63:
            raise InputError(f"exp_float: score and scale must have 63 bits together, got {self.score_bits} and more")
        if self.scale < 1 or self.table_bits > self.scale_bits:
            raise InputError(f"exp_float: scale_bits must hold the unit and the table, got {self.scale_bits}")

    @property
    def scale(self) -> int:
        """The constant that a score is multiplied by."""
        scale: int = round(self.unit * math.log2(math.e) * 2**self.scale_bits)
        return scale

    @property
    def largest(self) -> int:
        """The code of the largest result."""
        return ((128 + self.largest_exponent) << self.mantissa_bits) - 1

    @property
    def form(self) -> Float:
        """Format of the result."""
        return Float(8, self.mantissa_bits)


def for_scores(unit: float, score_bits: int, mantissa_bits: int) -> ExpFloat:
    """A unit for scores so wide, its constant as fine as a 63-bit word holds beside them: its error grows with them."""
    scale_bits = min(30, 62 - score_bits - math.ceil(math.log2(unit * math.log2(math.e))))
    return ExpFloat(unit=unit, score_bits=score_bits, scale_bits=scale_bits, mantissa_bits=mantissa_bits)


def mantissa_table(table_bits: int, mantissa_bits: int) -> npt.NDArray[np.int64]:
    """Mantissas of 2^(i / 2^table_bits), without the leading one."""
    powers = np.exp2(np.arange(1 << table_bits) / (1 << table_bits))
    return np.rint((powers - 1.0) * (1 << mantissa_bits)).astype(np.int64)


@inline_kernel
def exp_float_code(
    score: int,
    scale: int,
    scale_bits: int,
    table: npt.NDArray[np.int64],
    table_bits: int,
    mantissa_bits: int,
    largest: int,
) -> int:
    """The result's pattern: exponent field and mantissa."""
    power = score * scale
    whole = power >> scale_bits
    place = (power >> (scale_bits - table_bits)) & ((1 << table_bits) - 1)
    field = whole + 127
    # The table may round up to two: then the mantissa's carry is the exponent's next value, as it should.
    code = (field << mantissa_bits) + table[np.uint64(place)]
    if field < 1:
        code = 0
    return int(min(code, largest))


@kernel
def exp_float_stream(
    scores: Codes,
    scale: int,
    scale_bits: int,
    table: npt.NDArray[np.int64],
    table_bits: int,
    mantissa_bits: int,
    largest: int,
) -> Codes:
    """The patterns of many scores."""
    out = np.empty(len(scores), np.int64)
    for i in range(len(scores)):
        out[i] = exp_float_code(scores[i], scale, scale_bits, table, table_bits, mantissa_bits, largest)
    return out


def exp_float_codes(scores: Codes, design: ExpFloat) -> Codes:
    """The patterns of scores of any shape through a unit of this size."""
    table = mantissa_table(design.table_bits, design.mantissa_bits)
    found = exp_float_stream(
        np.ascontiguousarray(scores).ravel(), design.scale, design.scale_bits, table, design.table_bits,
        design.mantissa_bits, design.largest,
    )  # fmt: skip
    return found.reshape(scores.shape)


def exp_float_reference(score: int, design: ExpFloat) -> int:
    """The pattern for one score, in Python's exact integers."""
    power = score * design.scale
    whole, rest = power >> design.scale_bits, power % 2**design.scale_bits
    place = rest * 2**design.table_bits // 2**design.scale_bits
    mantissa = round((2 ** (place / 2**design.table_bits) - 1) * 2**design.mantissa_bits)
    if whole < -126:
        return 0
    return int(min((whole + 127) * 2**design.mantissa_bits + mantissa, design.largest))


def contract(design: ExpFloat) -> Contract:
    """What a unit of this size promises: a score every cycle, its power ``stages`` cycles later."""

    def function(beats: Codes) -> Answer:
        return Answer(exp_float_codes(beats, design), np.arange(len(beats)))

    return Contract(
        name="exp_float",
        inputs=Stream((Port("score", Whole(design.score_bits), "exact product of query and key"),)),
        outputs=Stream((Port("power", design.form, "e to the score, in units of the design"),)),
        latency=design.stages,
        interval=1,
        capacity=design.stages,
        function=function,
    )


UNIT = Unit(
    name="exp_float",
    summary="e to a whole number's power as a small floating-point number, by a table (ELSA)",
    design_type=ExpFloat,
    contract=contract,
    sizes=(
        ExpFloat(score_bits=8, unit=0.125, scale_bits=8, table_bits=3, mantissa_bits=4, stages=1),
        ExpFloat(),
        ExpFloat(score_bits=20, unit=0.01, scale_bits=16, table_bits=8, mantissa_bits=12, stages=5),
        # Mantissas that round up to two, at the largest exponent as well.
        ExpFloat(score_bits=12, scale_bits=20, table_bits=8, mantissa_bits=2, largest_exponent=3, stages=2),
        # Single precision of numbers of at most 1, and a constant that is finer than a score's error can be.
        ExpFloat(score_bits=25, unit=2.0**-19, scale_bits=40, table_bits=10, mantissa_bits=23, largest_exponent=0),
    ),
)
