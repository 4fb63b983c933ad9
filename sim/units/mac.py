"""Integer multiply-accumulate: the inner step of every dot product.

A stream of pairs is multiplied and summed. Two flags cut it into dot products: ``clear`` starts a
sum with this product, ``last`` sends the sum, this product included, to the output. A beat may carry
both (a plain multiplier), or ``last`` alone, again and again (running sums of one long product).

A sum too large for the accumulator wraps or saturates **at every step**, as a register does: a sum
that saturated and then comes back differs from the saturated true sum.

No bias, no rounding, no unsigned operands: widen by one bit to feed unsigned ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from siloom.sim.contract import FLAG, Answer, Codes, Contract, Port, Stream, Unit, Whole
from siloom.sim.design import Design, parameter
from siloom.sim.jit import inline_kernel, kernel

_CHOICE = "free choice of the design"


@dataclass(frozen=True, kw_only=True)
class Mac(Design):
    """The size of one multiply-accumulate unit."""

    a_bits: int = parameter(8, unit="bit", source=_CHOICE, status="assumed", low=2, high=32)
    b_bits: int = parameter(8, unit="bit", source=_CHOICE, status="assumed", low=2, high=32)
    acc_bits: int = parameter(32, unit="bit", source=_CHOICE, status="assumed", low=2, high=64)
    overflow: str = parameter("wrap", unit="", source=_CHOICE, status="assumed", choices=("wrap", "saturate"))
    stages: int = parameter(2, unit="cycle", source=_CHOICE, status="assumed", low=1, high=8)


@inline_kernel
def mac_step(total: np.int64, a: np.int64, b: np.int64, acc_bits: int, saturate: bool) -> np.int64:
    """``total + a*b`` in an accumulator of ``acc_bits`` (2 to 64); operands of at most 32 bits."""
    product = a * b
    half = np.int64(1) << (acc_bits - 1)
    if saturate:
        # Compared before adding: a 64-bit sum would overflow the very word it is tested in.
        if product > 0 and total > (half - 1) - product:
            return half - 1
        if product < 0 and total < -half - product:
            return -half
        return total + product
    mask = (half << 1) - 1
    return ((total + product + half) & mask) - half


@kernel
def mac_stream(a: Codes, b: Codes, clear: Codes, last: Codes, acc_bits: int, saturate: bool) -> tuple[Codes, Codes]:
    """All beats from reset -> the sums sent out, and the beat that completed each.

    Every array has one entry per beat; ``clear`` and ``last`` hold 0 or 1.
    """
    count = 0
    for i in range(len(last)):
        count += last[i]
    sums = np.empty(count, np.int64)
    cause = np.empty(count, np.int64)
    zero = np.int64(0)
    total = zero
    k = 0
    for i in range(len(a)):
        total = mac_step(zero if clear[i] else total, a[i], b[i], acc_bits, saturate)
        if last[i]:
            sums[k] = total
            cause[k] = i
            k += 1
    return sums, cause


def mac_reference(
    a: Sequence[int], b: Sequence[int], clear: Sequence[int], last: Sequence[int], acc_bits: int, saturate: bool
) -> list[int]:
    """The sums of :func:`mac_stream`, in exact integers and as plainly as can be said."""
    low, high = -(2 ** (acc_bits - 1)), 2 ** (acc_bits - 1) - 1
    total, sums = 0, []
    for x, y, starts, ends in zip(a, b, clear, last, strict=True):
        total = x * y if starts else total + x * y
        total = min(max(total, low), high) if saturate else (total - low) % 2**acc_bits + low
        if ends:
            sums.append(total)
    return sums


def contract(design: Mac) -> Contract:
    """What a unit of this size promises: one beat every cycle, a sum ``stages`` cycles after its last."""
    saturate = design.overflow == "saturate"

    def function(beats: Codes) -> Answer:
        a, b, clear, last = (np.ascontiguousarray(column) for column in beats.T)
        sums, cause = mac_stream(a, b, clear, last, design.acc_bits, saturate)
        return Answer(sums.reshape(-1, 1), cause)

    return Contract(
        name="mac",
        inputs=Stream(
            (
                Port("a", Whole(design.a_bits), "first factor"),
                Port("b", Whole(design.b_bits), "second factor"),
                Port("clear", FLAG, "1: the sum starts with this product"),
                Port("last", FLAG, "1: the sum, this product included, is sent out"),
            )
        ),
        outputs=Stream((Port("sum", Whole(design.acc_bits), f"the sum; beyond its range it {design.overflow}s"),)),
        latency=design.stages,
        interval=1,
        capacity=design.stages,
        function=function,
    )


UNIT = Unit(
    name="mac",
    summary="integer multiply-accumulate, any widths, wrapping or saturating at every step",
    design_type=Mac,
    contract=contract,
    sizes=(
        Mac(a_bits=4, b_bits=4, acc_bits=10, overflow="saturate", stages=1),
        Mac(),
        Mac(a_bits=8, b_bits=8, acc_bits=18, overflow="saturate", stages=3),
        Mac(a_bits=5, b_bits=3, acc_bits=6, stages=2),
        Mac(a_bits=32, b_bits=32, acc_bits=64, overflow="saturate", stages=4),
    ),
)
