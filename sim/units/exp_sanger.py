"""e^x of an unsigned fixed-point number as Sanger's hardware makes it: a constant, a table and a shift.

For x of ``width`` bits with ``fraction`` behind the point, all in words of ``width + append`` bits that wrap::

    y   = 23 x                                  x * 23/16 in four more places: 1.4375 for log2(e) = 1.4427
    u   = y >> (fraction + append)              whole part of the power of two
    v   = y mod 2**(fraction + append)          the rest, between 0 and 1
    out = ((v + D[v's first table_bits]) << u) >> append,   D[i] = round((2**(i/64) - i/64) * 2**(fraction + append))

So 2^v is taken as v plus a step of a table, a line of slope one in each of 64 pieces. On x from 0 to 6 the result
is between 2.3 % below and 0.5 % above e^x. Beyond what fits, words wrap without a sign of it: give it no such x.

Source: hatsu3/Sanger, ExpUnitFixPoint (Chisel), bit by bit. The unit knows no negative x; who subtracts a
maximum has to add something before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from siloom.sim.contract import Answer, Codes, Contract, Port, Stream, Unit, Whole
from siloom.sim.design import Design, parameter
from siloom.sim.errors import InputError
from siloom.sim.jit import inline_kernel, kernel

_SOURCE = "hatsu3/Sanger, ExpUnitFixPoint"


@dataclass(frozen=True, kw_only=True)
class ExpSanger(Design):
    """The size of one exponential unit.

    Raises (when made):
        InputError: words beyond 58 bits, or a point outside the number.
    """

    width: int = parameter(32, unit="bit", source=_SOURCE, low=2, high=54)
    fraction: int = parameter(16, unit="bit", source=_SOURCE, low=0, high=53)
    table_bits: int = parameter(6, unit="bit", source=_SOURCE, low=1, high=12)
    append: int = parameter(4, unit="bit", source=_SOURCE, low=4, high=16)
    stages: int = parameter(1, unit="cycle", source="registered by the caller in the source", low=1, high=8)

    def __post_init__(self) -> None:
        """Refuse words that 63 bits cannot hold, and a table finer than the number."""
        super().__post_init__()
        if self.width + self.append > 58 or self.fraction >= self.width:
            raise InputError(f"exp_sanger: width and append must be at most 58 together, got {self.width}")
        if self.table_bits > self.fraction + self.append:
            raise InputError(f"exp_sanger: table_bits must be at most {self.fraction + self.append}")


def step_table(fraction: int, table_bits: int, append: int) -> npt.NDArray[np.int64]:
    """D: what 2^v is above v at the start of each piece."""
    at = np.arange(1 << table_bits) / (1 << table_bits)
    steps: npt.NDArray[np.int64] = np.rint((np.exp2(at) - at) * (1 << (fraction + append))).astype(np.int64)
    return steps


@inline_kernel
def exp_sanger_code(
    x: int, width: int, fraction: int, table: npt.NDArray[np.int64], table_bits: int, append: int
) -> int:
    """The code of e^x, both unsigned."""
    word = (1 << (width + append)) - 1
    point = fraction + append
    y = (23 * x) & word
    u = y >> point
    v = y & ((1 << point) - 1)
    # A shift by the word's width or more leaves nothing; the machine's own shift would take it modulo 64.
    if u >= width + append:
        return 0
    room = width + append - u
    kept = (v + table[np.uint64(v >> (point - table_bits))]) & ((1 << room) - 1)
    return int(kept << u) >> append


@kernel
def exp_sanger_stream(
    x: Codes, width: int, fraction: int, table: npt.NDArray[np.int64], table_bits: int, append: int
) -> Codes:
    """The codes of many powers."""
    out = np.empty(len(x), np.int64)
    for i in range(len(x)):
        out[i] = exp_sanger_code(x[i], width, fraction, table, table_bits, append)
    return out


def exp_sanger_reference(x: int, design: ExpSanger) -> int:
    """One power, in Python's integers, step by step as the module says."""
    word, point = 2 ** (design.width + design.append), design.fraction + design.append
    y = ((x << 4) + (x << 3) - x) % word
    u, v = y >> point, y % 2**point
    i = v >> (point - design.table_bits)
    step = round((2 ** (i / 2**design.table_bits) - i / 2**design.table_bits) * 2**point)
    return int((((v + step) << u) % word) >> design.append)


def largest_input(design: ExpSanger) -> int:
    """The largest code whose power fits the width: beyond it the unit wraps."""
    return (design.width - design.fraction) * (1 << design.fraction) * 16 // 23 - 1


def contract(design: ExpSanger) -> Contract:
    """What a unit of this size promises: a number every cycle, its power ``stages`` cycles later."""
    table = step_table(design.fraction, design.table_bits, design.append)
    number = Whole(design.width, signed=False, fraction=design.fraction)

    def function(beats: Codes) -> Answer:
        x = np.ascontiguousarray(beats[:, 0])
        codes = exp_sanger_stream(x, design.width, design.fraction, table, design.table_bits, design.append)
        return Answer(codes.reshape(-1, 1), np.arange(len(beats)))

    return Contract(
        name="exp_sanger",
        inputs=Stream((Port("x", number, "the exponent"),)),
        outputs=Stream((Port("power", number, "e to the x, wrapping"),)),
        latency=design.stages,
        interval=1,
        capacity=design.stages,
        function=function,
    )


UNIT = Unit(
    name="exp_sanger",
    summary="e to an unsigned fixed-point number, by a table of steps and a shift (Sanger)",
    design_type=ExpSanger,
    contract=contract,
    sizes=(ExpSanger(width=8, fraction=4), ExpSanger(), ExpSanger(width=20, fraction=8, stages=2)),
)
