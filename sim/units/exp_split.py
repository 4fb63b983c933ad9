"""e^-x of an unsigned fixed-point number as the product of two table entries: A3's exponential.

x of ``integer_bits`` and ``x_fraction`` bits is cut into a high part h and the ``low_bits`` below it, l. As
``e^-(h + l) = e^-h * e^-l``, two small tables do for one with an entry for every x; both hold values of
``power_fraction`` bits behind the point (F), rounded to nearest, and their product is cut off::

    power = (high[x >> low_bits] * low[x mod 2**low_bits]) >> F        all codes in units of 2**-F

e^0 is exactly one. Over all 12-bit x with 8 bits behind the point, split in the middle, a power is off by at most 1.55,
1.68, 1.58 and 1.56 units of its last place for F = 8, 10, 12 and 16. Two entries are each off by half a unit and the
cut takes up to one more, so no size is off by more than two and a sliver.

Who asks for a larger x than fits gives the largest: with 4 integer bits its power is nothing up to F = 22.

Source: Ham et al., A3, HPCA 2020 (two tables in place of one; widths recalled); rounding of entries and product
is open there.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

import numpy as np
import numpy.typing as npt

from siloom.sim.contract import Answer, Codes, Contract, Port, Stream, Unit, Whole
from siloom.sim.design import Design, parameter
from siloom.sim.errors import InputError
from siloom.sim.jit import inline_kernel, kernel

_A3 = "Ham et al., A3, HPCA 2020"
_CHOICE = "free choice of the design"


@dataclass(frozen=True, kw_only=True)
class ExpSplit(Design):
    """The size of one exponential unit.

    Raises (when made):
        InputError: a cut outside x, or tables of more than 2^16 entries.
    """

    integer_bits: int = parameter(4, unit="bit", source=_A3, status="recalled", low=0, high=8)
    x_fraction: int = parameter(8, unit="bit", source=_A3, status="recalled", low=0, high=24)
    low_bits: int = parameter(6, unit="bit", source=_A3, status="recalled", low=1, high=16)
    power_fraction: int = parameter(8, unit="bit", source=_A3, status="recalled", low=1, high=30)
    stages: int = parameter(2, unit="cycle", source=_CHOICE, status="assumed", low=1, high=8)

    def __post_init__(self) -> None:
        """Refuse a cut that leaves nothing on one side, and tables that are no longer small."""
        super().__post_init__()
        if not self.low_bits < self.x_bits <= self.low_bits + 16:
            raise InputError(
                f"exp_split: low_bits must leave 1 to 16 of {self.x_bits} bits above it, got {self.low_bits}"
            )

    @property
    def x_bits(self) -> int:
        """Bits of x."""
        return self.integer_bits + self.x_fraction

    @property
    def largest(self) -> int:
        """The largest code of x."""
        return (1 << self.x_bits) - 1

    @property
    def power(self) -> Whole:
        """Format of the result: one is a code of its own."""
        return Whole(self.power_fraction + 1, signed=False, fraction=self.power_fraction)


def split_tables(design: ExpSplit) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The tables for the high and for the low part of x."""
    return (
        _entries(1 << (design.x_bits - design.low_bits), design.x_fraction - design.low_bits, design.power_fraction),
        _entries(1 << design.low_bits, design.x_fraction, design.power_fraction),
    )


def _entries(count: int, fraction: int, power_fraction: int) -> npt.NDArray[np.int64]:
    powers = np.exp(-np.ldexp(np.arange(count, dtype=np.float64), -fraction))
    return np.rint(np.ldexp(powers, power_fraction)).astype(np.int64)


@inline_kernel
def exp_split_code(
    x: int, high: npt.NDArray[np.int64], low: npt.NDArray[np.int64], low_bits: int, power_fraction: int
) -> np.int64:
    """The code of e^-x."""
    product: np.int64 = high[np.uint64(x >> low_bits)] * low[np.uint64(x & ((1 << low_bits) - 1))]
    return np.int64(product >> power_fraction)


@kernel
def exp_split_stream(
    x: Codes, high: npt.NDArray[np.int64], low: npt.NDArray[np.int64], low_bits: int, power_fraction: int
) -> Codes:
    """The codes of many powers."""
    out = np.empty(len(x), np.int64)
    for i in range(len(x)):
        out[i] = exp_split_code(x[i], high, low, low_bits, power_fraction)
    return out


def exp_split_reference(x: int, design: ExpSplit) -> int:
    """One power: both entries by Decimal's own exponential, the product in Python's integers."""

    def entry(part: int) -> int:
        power = (-Decimal(part) / Decimal(2**design.x_fraction)).exp() * Decimal(2**design.power_fraction)
        return int(power.to_integral_value(ROUND_HALF_EVEN))

    with localcontext() as context:
        context.prec = 50
        low = x % 2**design.low_bits
        return (entry(x - low) * entry(low)) >> design.power_fraction


def contract(design: ExpSplit) -> Contract:
    """What a unit of this size promises: a number every cycle, its power ``stages`` cycles later."""
    high, low = split_tables(design)

    def function(beats: Codes) -> Answer:
        codes = exp_split_stream(np.ascontiguousarray(beats[:, 0]), high, low, design.low_bits, design.power_fraction)
        return Answer(codes.reshape(-1, 1), np.arange(len(beats)))

    return Contract(
        name="exp_split",
        inputs=Stream((Port("x", Whole(design.x_bits, signed=False, fraction=design.x_fraction), "0 and above"),)),
        outputs=Stream((Port("power", design.power, "e to the -x, cut off"),)),
        latency=design.stages,
        interval=1,
        capacity=design.stages,
        function=function,
    )


UNIT = Unit(
    name="exp_split",
    summary="e to a negative fixed-point number as the product of two table entries (A3)",
    design_type=ExpSplit,
    contract=contract,
    sizes=(
        ExpSplit(integer_bits=2, x_fraction=4, low_bits=3, power_fraction=6, stages=1),
        ExpSplit(),
        ExpSplit(power_fraction=16),
        ExpSplit(integer_bits=3, x_fraction=13, low_bits=8, power_fraction=16, stages=3),
    ),
)
