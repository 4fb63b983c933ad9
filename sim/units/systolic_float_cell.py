"""A systolic array's cell for floating point: the arithmetic of ``fp_mac``, the movements of ``systolic_cell``.

A product is added to the sum with one rounding, in the accumulator's format. A fourth flag goes with a factor from
the left: ``live`` says that there is one. Without it the sum is left as it is, bit by bit; a factor of zero would
not do that, because it makes NaN of an infinity that stays in the cell, and of -0 the other zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from siloom.sim.contract import FLAG, Answer, Codes, Contract, Float, Port, Stream, Unit
from siloom.sim.design import Design, parameter
from siloom.sim.jit import inline_kernel, kernel
from siloom.sim.units.floats import Layout, layout
from siloom.sim.units.fp_mac import OPERANDS, fp_mac_step
from siloom.sim.units.fp_mac_reference import mac_reference
from siloom.sim.units.systolic_cell import cell_operands, cell_ports, cell_registers, plain_cell

_CHOICE = "free choice of the design"
_NAMES = tuple(OPERANDS)

Formats = tuple[Layout, Layout, Layout]
"""Of a, of what goes down, of the sums."""


@dataclass(frozen=True, kw_only=True)
class SystolicFloatCell(Design):
    """The formats and dataflow of one cell."""

    dataflow: str = parameter("ws", unit="", source=_CHOICE, status="assumed", choices=("os", "ws", "is"))
    a_format: str = parameter("bf16", unit="", source=_CHOICE, status="assumed", choices=_NAMES)
    b_format: str = parameter("bf16", unit="", source=_CHOICE, status="assumed", choices=_NAMES)
    acc_exponent_bits: int = parameter(8, unit="bit", source=_CHOICE, status="assumed", low=2, high=8)
    acc_mantissa_bits: int = parameter(23, unit="bit", source=_CHOICE, status="assumed", low=1, high=23)
    overflow: str = parameter("infinity", unit="", source=_CHOICE, status="assumed", choices=("infinity", "saturate"))
    double: bool = parameter(True, unit="", source=_CHOICE, status="assumed")

    @property
    def a(self) -> Float:
        """Format of the factor from the left."""
        return OPERANDS[self.a_format]

    @property
    def b(self) -> Float:
        """Format of the other factor."""
        return OPERANDS[self.b_format]

    @property
    def accumulator(self) -> Float:
        """Format of the sums."""
        return Float(self.acc_exponent_bits, self.acc_mantissa_bits)

    @property
    def saturate(self) -> bool:
        """Whether a sum beyond the largest number stays there."""
        return self.overflow == "saturate"


@inline_kernel
def float_cell_step(
    keeps_sum: bool,
    double: bool,
    formats: Formats,
    saturate: bool,
    held: np.int64,
    moving: np.int64,
    beat: Codes,
) -> tuple[np.int64, np.int64, np.int64, np.int64]:
    """One beat: what ``held`` and ``moving`` become, and the ``b`` and ``psum`` passed down."""
    a, b, psum, first, last, shift, live = beat
    onto, x, y = cell_operands(keeps_sum, held, a, b, psum, first)
    rounded = fp_mac_step(int(onto), int(x), int(y), formats[0], formats[1], formats[2], saturate)
    total = np.int64(rounded) if live else onto
    return cell_registers(keeps_sum, double, held, moving, b, psum, first, last, shift, total)


@kernel
def float_cell_stream(beats: Codes, keeps_sum: bool, double: bool, formats: Formats, saturate: bool) -> Codes:
    """All beats from reset -> what the cell shows a cycle after each; (beats, 7) both."""
    out = np.empty_like(beats)
    held = np.int64(0)
    moving = np.int64(0)
    for i in range(len(beats)):
        out[i] = beats[i]
        held, moving, down, total = float_cell_step(keeps_sum, double, formats, saturate, held, moving, beats[i])
        out[i, 1] = down
        out[i, 2] = total
    return out


def float_cell_reference(beats: Sequence[Sequence[int]], design: SystolicFloatCell) -> list[list[int]]:
    """The beats of :func:`float_cell_stream`, in exact fractions."""

    def add(onto: int, a: int, b: int, flags: Sequence[int]) -> int:
        if not flags[0]:
            return onto
        return mac_reference(onto, a, b, design.a, design.b, design.accumulator, design.saturate)

    return plain_cell(beats, design.dataflow, design.double, add)


def contract(design: SystolicFloatCell) -> Contract:
    """What a cell promises: a beat every cycle, shown in the next; one is held when nobody takes it."""
    formats = (design.a, design.b, design.accumulator)
    layouts = (layout(design.a), layout(design.b), layout(design.accumulator))
    live = Port("live", FLAG, "1: there is a factor a")

    def function(beats: Codes) -> Answer:
        given = np.ascontiguousarray(beats, np.int64)
        shown = float_cell_stream(given, design.dataflow == "os", design.double, layouts, design.saturate)
        return Answer(shown, np.arange(len(beats)))

    return Contract(
        name="systolic_float_cell",
        inputs=Stream((*cell_ports(design.dataflow, formats, ("from the left", "from above")), live)),
        outputs=Stream((*cell_ports(design.dataflow, formats, ("to the right", "downwards")), live)),
        latency=1,
        interval=1,
        capacity=1,
        function=function,
    )


UNIT = Unit(
    name="systolic_float_cell",
    summary="cell of a systolic array on FP8, BF16 or FP16 and any accumulator, one rounding a product",
    design_type=SystolicFloatCell,
    contract=contract,
    sizes=(
        SystolicFloatCell(
            dataflow="os", a_format="fp8_e5m2", b_format="fp8_e5m2", acc_exponent_bits=5, acc_mantissa_bits=2
        ),
        SystolicFloatCell(),
        SystolicFloatCell(dataflow="os"),
        SystolicFloatCell(dataflow="is", a_format="fp8_e4m3", b_format="fp8_e5m2", acc_mantissa_bits=13),
        SystolicFloatCell(
            dataflow="ws",
            a_format="fp16",
            b_format="fp16",
            acc_exponent_bits=5,
            acc_mantissa_bits=10,
            overflow="saturate",
            double=False,
        ),
        SystolicFloatCell(dataflow="os", a_format="fp8_e4m3", b_format="fp8_e4m3", double=False),
    ),
)
