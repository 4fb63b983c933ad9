"""One cell of a weight-stationary systolic array whose weights are in 2:4 form: two products a beat, of four operands.

A beat is one cycle of the array, as of ``systolic_cell``. Four neighbours along k come from the left in one word and
go right; the cell holds two kept weights, each with its place among the four in 2 bits, and the two operands at these
places (``sparse24_select``) are multiplied with them. So a row of cells is four of k tall where it is two multipliers
high.

The operands chosen stand in a register between selector and multipliers: the sum that a beat's operands go into is
that of the next beat. As the register stands before the adder, sums still go down one cell a cycle, and a whole array
is one cycle longer, however tall it is. Operands are multiplied with the weights whose places chose them: ``first``
makes the word that the load register holds after this beat the one that chooses from the next beat on, and the one
that multiplies from the beat after that.

``shift`` loads: the word that comes from above goes into the load register, whose content goes down. That register is
a second one, so loading runs beside the products; there is no cell with one, whose weights would have to be delayed
in registers as many. An idle beat has ``a`` zero. Sums wrap at ``acc_bits``.

A word of weights holds, from its lowest bits on, both weights and both places, each pair in the order of the selector's
lanes. Two dense neighbours are such a word too, with places 0 and 1: then four of k take two rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from siloom.sim.contract import Answer, Codes, Contract, Stream, Unit, Whole
from siloom.sim.design import Design, parameter
from siloom.sim.jit import inline_kernel, kernel
from siloom.sim.units.mac import mac_step
from siloom.sim.units.sparse24_select import GROUP, KEPT, Sparse24Select
from siloom.sim.units.systolic_cell import cell_ports

_CHOICE = "free choice of the design"
PLACE_BITS = 2
STAGES = 1
"""Registers between a cell's operands and the adder, that of the selector."""


@dataclass(frozen=True, kw_only=True)
class Sparse24Cell(Design):
    """The size of one cell: signed operands and weights of ``bits``."""

    bits: int = parameter(8, unit="bit", source=_CHOICE, status="assumed", low=2, high=16)
    acc_bits: int = parameter(32, unit="bit", source=_CHOICE, status="assumed", low=2, high=64)

    @property
    def a_bits(self) -> int:
        """Bits of a word of operands."""
        return GROUP * self.bits

    @property
    def b_bits(self) -> int:
        """Bits of a word of kept weights and their places."""
        return KEPT * (self.bits + PLACE_BITS)

    @property
    def dataflow(self) -> str:
        """What stays in the cell."""
        return "ws"

    @property
    def double(self) -> bool:
        """Whether there is a load register beside the weights at work."""
        return True

    @property
    def select(self) -> Sparse24Select:
        """The selector of a cell."""
        return Sparse24Select(bits=self.bits, groups=1, stages=STAGES)


def pack_operands(codes: Codes, bits: int) -> Codes:
    """Words of groups of four operands along the last axis, the first in the lowest bits; (..., k) to (..., k / 4)."""
    groups = codes.reshape(*codes.shape[:-1], -1, GROUP)
    return _packed(groups, bits)


def pack_weights(kept: Codes, places: Codes, bits: int) -> Codes:
    """Words of pairs of weights and places along the last axis, (..., 2) both, to (...)."""
    return _packed(kept, bits) | _packed(places, PLACE_BITS) << KEPT * bits


def _packed(codes: Codes, bits: int) -> Codes:
    mask, words = (1 << bits) - 1, np.zeros(codes.shape[:-1], np.int64)
    for lane in range(codes.shape[-1]):
        words |= (codes[..., lane] & mask) << lane * bits
    return words


@inline_kernel
def _lane(word: np.int64, lane: int, bits: int) -> np.int64:
    """The signed number of ``bits`` at a lane of a word."""
    half = np.int64(1) << (bits - 1)
    field = (word >> np.int64(lane * bits)) & ((half << 1) - 1)
    return (field ^ half) - half


@inline_kernel
def sparse24_cell_step(
    bits: int,
    acc_bits: int,
    acting: np.int64,
    held: np.int64,
    moving: np.int64,
    chosen: np.int64,
    a: np.int64,
    b: np.int64,
    psum: np.int64,
    first: np.int64,
    shift: np.int64,
) -> tuple[np.int64, np.int64, np.int64, np.int64, np.int64]:
    """One beat: what ``acting``, ``held``, ``moving`` and ``chosen`` become, and the ``psum`` passed down.

    ``acting`` is the word that multiplies, ``held`` the one that chooses. ``b`` passed down is what ``moving`` becomes.
    """
    total = psum
    for lane in range(KEPT):
        total = mac_step(total, _lane(chosen, lane, bits), _lane(acting, lane, bits), acc_bits, False)
    acting = held
    chosen = np.int64(0)
    mask = (np.int64(1) << bits) - 1
    for lane in range(KEPT):
        place = (held >> np.int64(KEPT * bits + PLACE_BITS * lane)) & (GROUP - 1)
        chosen |= ((a >> (place * bits)) & mask) << np.int64(lane * bits)
    if shift:
        moving = b
    if first:
        held = moving
    return acting, held, moving, chosen, total


@kernel
def sparse24_cell_stream(beats: Codes, bits: int, acc_bits: int) -> Codes:
    """All beats from reset -> what the cell shows a cycle after each; (beats, 6) both."""
    out = np.empty_like(beats)
    acting = np.int64(0)
    held = np.int64(0)
    moving = np.int64(0)
    chosen = np.int64(0)
    for i in range(len(beats)):
        a, b, psum, first, last, shift = beats[i]
        acting, held, moving, chosen, total = sparse24_cell_step(
            bits, acc_bits, acting, held, moving, chosen, a, b, psum, first, shift
        )
        out[i, 0] = a
        out[i, 1] = moving
        out[i, 2] = total
        out[i, 3] = first
        out[i, 4] = last
        out[i, 5] = shift
    return out


def sparse24_cell_reference(beats: Sequence[Sequence[int]], bits: int, acc_bits: int) -> list[list[int]]:
    """The beats of :func:`sparse24_cell_stream`, as plainly as can be said, in exact integers."""
    half, out = 2 ** (acc_bits - 1), []

    def signed(word: int, lane: int) -> int:
        field: int = word // 2 ** (lane * bits) % 2**bits
        return field - 2**bits if field >= 2 ** (bits - 1) else field

    work = spare = 0
    waiting = [(0, 0)] * KEPT
    for a, b, psum, first, last, shift in beats:
        total = psum + sum(operand * weight for operand, weight in waiting)
        places = [work // 2 ** (KEPT * bits + PLACE_BITS * lane) % GROUP for lane in range(KEPT)]
        waiting = [(signed(a, place), signed(work, lane)) for lane, place in enumerate(places)]
        spare = b if shift else spare
        work = spare if first else work
        out.append([a, spare, (total + half) % (2 * half) - half, first, last, shift])
    return out


def contract(design: Sparse24Cell) -> Contract:
    """What a cell promises: a beat every cycle, shown in the next; one is held when nobody takes it."""
    formats = (Whole(design.a_bits, signed=False), Whole(design.b_bits, signed=False), Whole(design.acc_bits))

    def function(beats: Codes) -> Answer:
        given = np.ascontiguousarray(beats, np.int64)
        return Answer(sparse24_cell_stream(given, design.bits, design.acc_bits), np.arange(len(beats)))

    return Contract(
        name="sparse24_cell",
        inputs=Stream(cell_ports("ws", formats, ("from the left", "from above"))),
        outputs=Stream(cell_ports("ws", formats, ("to the right", "downwards"))),
        latency=1,
        interval=1,
        capacity=1,
        function=function,
    )


UNIT = Unit(
    name="sparse24_cell",
    summary="systolic cell for 2:4 weights: two kept weights choose among four operands; two products a cycle",
    design_type=Sparse24Cell,
    contract=contract,
    sizes=(Sparse24Cell(bits=2, acc_bits=3), Sparse24Cell(), Sparse24Cell(bits=16, acc_bits=64)),
)
