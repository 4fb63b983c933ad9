"""Floating-point multiply-accumulate: FP8, BF16 or FP16 operands, an accumulator of any format.

A stream of pairs is multiplied and summed. Two flags cut it into dot products, as in ``mac``: ``clear``
starts a sum with this product, ``last`` sends the sum, this product included, to the output.

**The arithmetic.** The product is exact. It is added to the accumulator with **one rounding a step**, to
nearest, ties to even. A sum starts from +0, to which the first product is added and rounded too (so -0
alone gives +0). Beyond the largest number the sum becomes infinite, or stays at the largest
(``overflow``), at every step; what else holds for subnormals, infinities and NaNs stands in ``floats``.

**The formats.** ``fp8_e4m3`` is OCP's E4M3 (to 448, no infinities, one NaN of each sign), which
libraries call e4m3fn; ``fp8_e5m2``, ``bf16`` and ``fp16`` are IEEE-like. The accumulator is IEEE-like,
its exponent and mantissa chosen bit by bit: (8, 23) is FP32, (8, 7) BF16, (5, 10) FP16.

No bias, no scale factors, no rounding of the sum to a narrower output, no flushing of subnormals, no
stochastic rounding, no trees of products that are added up before they are rounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from siloom.sim.contract import (
    BF16,
    FLAG,
    FP8_E4M3FN,
    FP8_E5M2,
    FP16,
    Answer,
    Codes,
    Contract,
    Float,
    Port,
    Stream,
    Unit,
)
from siloom.sim.design import Design, parameter
from siloom.sim.jit import inline_kernel, kernel
from siloom.sim.units.floats import Layout, add, layout, multiply, pack, unpack

OPERANDS: Mapping[str, Float] = {"fp8_e4m3": FP8_E4M3FN, "fp8_e5m2": FP8_E5M2, "bf16": BF16, "fp16": FP16}
"""Formats of the factors, by the names that a design gives them."""

_CHOICE = "free choice of the design"
_NAMES = tuple(OPERANDS)


@dataclass(frozen=True, kw_only=True)
class FpMac(Design):
    """The size of one floating-point multiply-accumulate unit."""

    a_format: str = parameter("fp8_e4m3", unit="", source=_CHOICE, status="assumed", choices=_NAMES)
    b_format: str = parameter("fp8_e4m3", unit="", source=_CHOICE, status="assumed", choices=_NAMES)
    acc_exponent_bits: int = parameter(8, unit="bit", source=_CHOICE, status="assumed", low=2, high=8)
    acc_mantissa_bits: int = parameter(23, unit="bit", source=_CHOICE, status="assumed", low=1, high=23)
    overflow: str = parameter("infinity", unit="", source=_CHOICE, status="assumed", choices=("infinity", "saturate"))
    add_cycles: int = parameter(1, unit="cycle", source=_CHOICE, status="assumed", low=1, high=16)
    latency_cycles: int = parameter(4, unit="cycle", source=_CHOICE, status="assumed", low=1, high=16)

    @property
    def a(self) -> Float:
        """Format of the first factor."""
        return OPERANDS[self.a_format]

    @property
    def b(self) -> Float:
        """Format of the second factor."""
        return OPERANDS[self.b_format]

    @property
    def accumulator(self) -> Float:
        """Format of the sum."""
        return Float(self.acc_exponent_bits, self.acc_mantissa_bits)

    @property
    def saturate(self) -> bool:
        """Whether a sum beyond the largest number stays there."""
        return self.overflow == "saturate"


@inline_kernel
def fp_mac_step(total: int, a: int, b: int, a_form: Layout, b_form: Layout, form: Layout, saturate: bool) -> int:
    """The code of ``total + a * b``, rounded once, for codes of three formats."""
    product = multiply(unpack(a, a_form), unpack(b, b_form))
    return pack(add(unpack(total, form), product), form, saturate)


@kernel
def fp_mac_steps(
    totals: Codes, a: Codes, b: Codes, a_form: Layout, b_form: Layout, form: Layout, saturate: bool
) -> Codes:
    """One step of many units side by side: the code of each ``totals + a * b``; all arrays are (n,)."""
    sums = np.empty(len(totals), np.int64)
    for i in range(len(totals)):
        sums[i] = fp_mac_step(totals[i], a[i], b[i], a_form, b_form, form, saturate)
    return sums


@kernel
def fp_mac_stream(
    a: Codes, b: Codes, clear: Codes, last: Codes, a_form: Layout, b_form: Layout, form: Layout, saturate: bool
) -> tuple[Codes, Codes]:
    """All beats from reset -> the codes of the sums sent out, and the beat that completed each.

    Every array has one entry per beat; ``clear`` and ``last`` hold 0 or 1.
    """
    count = 0
    for i in range(len(last)):
        count += last[i]
    sums = np.empty(count, np.int64)
    cause = np.empty(count, np.int64)
    total = 0
    k = 0
    for i in range(len(a)):
        total = fp_mac_step(0 if clear[i] else total, a[i], b[i], a_form, b_form, form, saturate)
        if last[i]:
            sums[k] = total
            cause[k] = i
            k += 1
    return sums, cause


def contract(design: FpMac) -> Contract:
    """What a unit of this size promises: a beat every ``add_cycles``, a sum ``latency_cycles`` after its last."""
    a_form, b_form, form = layout(design.a), layout(design.b), layout(design.accumulator)

    def function(beats: Codes) -> Answer:
        a, b, clear, last = (np.ascontiguousarray(column) for column in beats.T)
        sums, cause = fp_mac_stream(a, b, clear, last, a_form, b_form, form, design.saturate)
        return Answer(sums.reshape(-1, 1), cause)

    beyond = "the largest number" if design.saturate else "infinity"
    return Contract(
        name="fp_mac",
        inputs=Stream(
            (
                Port("a", design.a, "first factor"),
                Port("b", design.b, "second factor"),
                Port("clear", FLAG, "1: the sum starts with this product"),
                Port("last", FLAG, "1: the sum, this product included, is sent out"),
            )
        ),
        outputs=Stream(
            (Port("sum", design.accumulator, f"the sum, nearest even at every step; beyond its range {beyond}"),)
        ),
        latency=design.latency_cycles,
        # The next sum needs this one: the adder's loop sets the pace, the multiplier is in front of it.
        interval=design.add_cycles,
        # As many as are under way when beats come as fast as they may.
        capacity=-(-design.latency_cycles // design.add_cycles),
        function=function,
    )


UNIT = Unit(
    name="fp_mac",
    summary="floating-point multiply-accumulate: FP8, BF16 or FP16 onto any accumulator, one rounding a step",
    design_type=FpMac,
    contract=contract,
    sizes=(
        FpMac(
            a_format="fp8_e5m2",
            b_format="fp8_e5m2",
            acc_exponent_bits=5,
            acc_mantissa_bits=2,
            overflow="saturate",
            latency_cycles=1,
        ),
        FpMac(),
        FpMac(b_format="fp8_e5m2", acc_exponent_bits=8, acc_mantissa_bits=13, latency_cycles=3),
        FpMac(a_format="fp16", b_format="fp16", acc_exponent_bits=5, acc_mantissa_bits=10, overflow="saturate"),
        FpMac(a_format="bf16", b_format="bf16", add_cycles=2, latency_cycles=5),
        FpMac(a_format="fp16", b_format="fp8_e4m3", acc_exponent_bits=8, acc_mantissa_bits=7),
    ),
)
