"""One cell of a systolic array, output-, weight- or input-stationary: multiply, add, pass on.

A beat is one cycle of the array: what stands at the cell's upper and left edge. A cycle later the cell
shows what it passes on. ``a`` goes right and ``b`` goes down; ``psum`` comes from above and goes down.
Three flags enter with ``a`` from the left and go right with it, so row i of an array sees them when
its operands come:

- ``os``: the sum stays. ``first`` starts a sum with this product, ``last`` hands the sum, this product included,
  to the register that ``psum`` leaves from; ``shift`` moves ``psum`` from above into that register, and
  so finished sums down and out.
- ``ws``, ``is``: an operand stays, weights or inputs, loaded through ``b``. ``shift`` moves ``b`` into the load
  register, whose content goes down; ``first`` makes what that register then holds the operand of all beats after
  this one; ``psum`` from above plus the product goes down. ``last`` is only passed on.

So ``first`` comes a beat before the first product of an operand that stays, with the last one of the operand before,
if they follow each other: what is multiplied stands in a register, and nothing is chosen in the cycle of a product,
which is the array's slowest.

With ``double`` the register that shifts is a second one, so that loading, or draining, runs beside the
products. Without it the one that is multiplied, or summed into, shifts itself, and ``first`` of a
stationary operand, ``last`` of a sum, say nothing.

An idle beat has ``a`` zero, and no flags but those that move an operand that stays: the product is nothing, so no
sum changes. There is no enable, and no flow control inside an array: it stops as a whole. Sums wrap at ``acc_bits``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from siloom.sim.contract import FLAG, Answer, Codes, Contract, Format, Port, Stream, Unit, Whole
from siloom.sim.design import Design, parameter
from siloom.sim.jit import inline_kernel, kernel
from siloom.sim.units.mac import mac_step

_CHOICE = "free choice of the design"
COLUMNS = 6
"""Columns of a beat, in and out: a, b, psum, first, last, shift."""


@dataclass(frozen=True, kw_only=True)
class SystolicCell(Design):
    """The size and dataflow of one cell."""

    dataflow: str = parameter("ws", unit="", source=_CHOICE, status="assumed", choices=("os", "ws", "is"))
    a_bits: int = parameter(8, unit="bit", source=_CHOICE, status="assumed", low=2, high=32)
    b_bits: int = parameter(8, unit="bit", source=_CHOICE, status="assumed", low=2, high=32)
    acc_bits: int = parameter(32, unit="bit", source=_CHOICE, status="assumed", low=2, high=64)
    double: bool = parameter(True, unit="", source=_CHOICE, status="assumed")


@inline_kernel
def cell_operands(
    keeps_sum: bool,
    held: np.int64,
    a: np.int64,
    b: np.int64,
    psum: np.int64,
    first: np.int64,
) -> tuple[np.int64, np.int64, np.int64]:
    """What a beat's product is added to, and its factors; in any arithmetic whose zero has the code 0."""
    if keeps_sum:
        return (np.int64(0) if first else held), a, b
    return psum, a, held


@inline_kernel
def cell_registers(
    keeps_sum: bool,
    double: bool,
    held: np.int64,
    moving: np.int64,
    b: np.int64,
    psum: np.int64,
    first: np.int64,
    last: np.int64,
    shift: np.int64,
    total: np.int64,
) -> tuple[np.int64, np.int64, np.int64, np.int64]:
    """What ``held`` and ``moving`` become by a beat, and the ``b`` and ``psum`` passed down; ``total`` is its sum.

    ``held`` is the sum or operand at work, ``moving`` the register that shifts (unused without ``double``).
    """
    if keeps_sum:
        held = total
        if double:
            if last:
                moving = held
            elif shift:
                moving = psum
            return held, moving, b, moving
        if shift:
            held = psum
        return held, moving, b, held
    if double:
        if shift:
            moving = b
        if first:
            held = moving
        return held, moving, moving, total
    if shift:
        held = b
    return held, moving, held, total


@inline_kernel
def cell_step(
    keeps_sum: bool,
    double: bool,
    acc_bits: int,
    held: np.int64,
    moving: np.int64,
    a: np.int64,
    b: np.int64,
    psum: np.int64,
    first: np.int64,
    last: np.int64,
    shift: np.int64,
) -> tuple[np.int64, np.int64, np.int64, np.int64]:
    """One beat: what ``held`` and ``moving`` become, and the ``b`` and ``psum`` passed down."""
    onto, x, y = cell_operands(keeps_sum, held, a, b, psum, first)
    total = mac_step(onto, x, y, acc_bits, False)
    return cell_registers(keeps_sum, double, held, moving, b, psum, first, last, shift, total)


@kernel
def cell_stream(beats: Codes, keeps_sum: bool, double: bool, acc_bits: int) -> Codes:
    """All beats from reset -> what the cell shows a cycle after each; (beats, 6) both."""
    out = np.empty_like(beats)
    held = np.int64(0)
    moving = np.int64(0)
    for i in range(len(beats)):
        a, b, psum, first, last, shift = beats[i]
        held, moving, down, total = cell_step(keeps_sum, double, acc_bits, held, moving, a, b, psum, first, last, shift)
        out[i, 0] = a
        out[i, 1] = down
        out[i, 2] = total
        out[i, 3] = first
        out[i, 4] = last
        out[i, 5] = shift
    return out


def cell_reference(beats: Sequence[Sequence[int]], dataflow: str, double: bool, acc_bits: int) -> list[list[int]]:
    """The beats of :func:`cell_stream`, in exact integers."""
    half = 2 ** (acc_bits - 1)
    return plain_cell(beats, dataflow, double, lambda onto, a, b, _: int((onto + a * b + half) % (2 * half) - half))


def plain_cell(
    beats: Sequence[Sequence[int]], dataflow: str, double: bool, add: Callable[[int, int, int, Sequence[int]], int]
) -> list[list[int]]:
    """A cell as plainly as can be said; ``add`` gives the sum of a number and a product, in view of other flags."""
    work = spare = 0
    out = []
    for a, b, psum, first, last, shift, *more in beats:
        if dataflow == "os":
            work = add(0 if first else work, a, b, more)
            if double:
                spare = work if last else psum if shift else spare
            elif shift:
                work = psum
            down, total = b, spare if double else work
        else:
            total = add(psum, a, work, more)
            if not double:
                down = work = b if shift else work
            else:
                down = spare = b if shift else spare
                work = spare if first else work
        out.append([a, down, total, first, last, shift, *more])
    return out


def contract(design: SystolicCell) -> Contract:
    """What a cell promises: a beat every cycle, shown in the next; one is held when nobody takes it."""
    keeps_sum = design.dataflow == "os"
    formats = (Whole(design.a_bits), Whole(design.b_bits), Whole(design.acc_bits))

    def function(beats: Codes) -> Answer:
        given = np.ascontiguousarray(beats, np.int64)
        return Answer(cell_stream(given, keeps_sum, design.double, design.acc_bits), np.arange(len(beats)))

    return Contract(
        name="systolic_cell",
        inputs=Stream(cell_ports(design.dataflow, formats, ("from the left", "from above"))),
        outputs=Stream(cell_ports(design.dataflow, formats, ("to the right", "downwards"))),
        latency=1,
        interval=1,
        capacity=1,
        function=function,
    )


def cell_ports(dataflow: str, formats: tuple[Format, Format, Format], where: tuple[str, str]) -> tuple[Port, ...]:
    """The ports of one side of a cell; ``formats`` of a, b and the sums, ``where`` in words."""
    words = {
        "os": ("starts a sum", "hands the sum out", "moves a finished sum down"),
        "ws": ("takes the loaded weight, after this beat", "passed on", "loads a weight and moves the one before down"),
        "is": ("takes the loaded input, after this beat", "passed on", "loads an input and moves the one before down"),
    }[dataflow]
    stays = {"os": "second factor", "ws": "weights on their way in", "is": "inputs on their way in"}[dataflow]
    a, b, total = formats
    sums = f"sums {where[1]}" + ("; they wrap" if isinstance(total, Whole) else "")
    return (
        Port("a", a, f"factor {where[0]}"),
        Port("b", b, f"{stays} {where[1]}"),
        Port("psum", total, sums),
        *(Port(name, FLAG, f"1: {word}") for name, word in zip(("first", "last", "shift"), words, strict=True)),
    )


UNIT = Unit(
    name="systolic_cell",
    summary="cell of a systolic array: output-, weight- or input-stationary, one or two registers",
    design_type=SystolicCell,
    contract=contract,
    sizes=(
        SystolicCell(dataflow="os", a_bits=3, b_bits=2, acc_bits=4),
        SystolicCell(dataflow="ws"),
        SystolicCell(dataflow="os"),
        SystolicCell(dataflow="is", a_bits=4, b_bits=8, acc_bits=20),
        SystolicCell(dataflow="ws", a_bits=8, b_bits=4, acc_bits=12, double=False),
        SystolicCell(dataflow="os", a_bits=16, b_bits=16, acc_bits=48, double=False),
    ),
)
