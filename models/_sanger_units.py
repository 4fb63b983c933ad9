"""Sanger's units that the cycle model, the arithmetic and the hardware share, and how long its parts take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from siloom.sim.contract import fixed
from siloom.sim.selection.predicted_scores import EXP, SCALE
from siloom.sim.units import exp_sanger as exp_unit
from siloom.sim.units import mask_threshold as mask_unit
from siloom.sim.units import score_scale as scale_unit
from siloom.sim.units.mask_threshold import MaskThreshold

READ = 1
"""Cycles from an address to a memory's word."""

REGISTER = 1

HEADS_HELD = 3
"""Heads whose operands the memories hold: one attended to, one predicted, one loaded."""

DIGITS_AT_ONCE = 4
"""Digits of a quotient that a stage of the dividers finds."""

_SCALED = fixed(scale_unit.contract(SCALE).latency)
_RAISED = fixed(exp_unit.contract(EXP).latency)
_COMPARED = fixed(mask_unit.contract(MaskThreshold()).latency)

SETTLE = REGISTER + _SCALED + REGISTER + _RAISED + REGISTER
"""Cycles by which values may follow a pass's last products at the earliest: sum, scaling, difference, power, weight."""


def tail_cycles(keys: int, columns: int) -> int:
    """Cycles from the last move of a head's predicted scores to its last sub-row.

    The scores of the last rows wait for their largest one; then they go through the exponential, and, their sum known,
    through the comparison, a key a cycle each; then a packer has a tile's time for the last rows.

    Args:
        keys: of a row, rounded up to whole tiles.
        columns: of a tile.
    """
    scored = READ + REGISTER + _SCALED + REGISTER
    raised = READ + REGISTER + _RAISED
    compared = READ + _COMPARED
    packed = columns + 2 * REGISTER
    # The row's likeliest key is compared before all others: where it is below the threshold it is kept alone.
    return scored + (keys + raised) + (1 + keys + compared) + packed - 1


def fill_cycles(rows: int) -> int:
    """Cycles from a head's last values entering the array to the last sum in its memory.

    Sub-row, query and operand are read one after another; a row of PEs works a cycle behind the one above; product, sum
    of a row and total have a register each. Rows do not wait for their places: all places of a row work in step.
    """
    return READ + READ + REGISTER + (rows - 1) + 3 * REGISTER


def exponential_waits(dim: int, passes: int) -> int:
    """Cycles in which the array waits for powers: scores of one pass and values of the one before take turns."""
    if dim >= SETTLE:
        return SETTLE if passes == 1 else 0
    # Where vectors are shorter than that, every phase but scores after scores may have to wait.
    now, powers = dim, [dim + SETTLE]
    for number in range(1, passes):
        now += dim
        powers.append(now + SETTLE)
        now = max(now, powers[number - 1]) + dim
    return max(now, powers[-1]) + dim - 2 * dim * passes


def divide_latency(value_bits: int) -> int:
    """Cycles from a sum's address to its mean: sign, digits, rounding."""
    return READ + REGISTER + -(-value_bits // DIGITS_AT_ONCE) + REGISTER


@dataclass(frozen=True)
class HeadTimes:
    """Cycles of one head in each part of the machine."""

    load: int
    products: int
    tail: int
    attention: int
    division: int


@dataclass(frozen=True)
class HeadEnds:
    """When one head left each part."""

    loaded: int
    predicted: int
    masked: int
    begun: int
    attended: int
    divided: int


def schedule(times: Sequence[HeadTimes]) -> list[HeadEnds]:
    """When every head leaves every part, in cycles from 0; memories' latency is not in it.

    A tandem of parts (:mod:`siloom.sim.engine.pipeline`) but for the masks of a head's last rows: these are still made
    while the next head's products have begun. A head's products begin when the head before the last one has
    left the array, so that there is a place for its sub-rows, and for the operands of one more.
    """
    ends: list[HeadEnds] = []
    none = HeadEnds(0, 0, 0, 0, 0, 0)
    begun_last = 0
    for time in times:
        last = ends[-1] if ends else none
        before = ends[-2] if len(ends) > 1 else none
        loaded = begun_last + time.load
        begun_last = max(loaded, last.predicted, before.attended)
        predicted = begun_last + time.products
        masked = predicted + time.tail
        begun = max(masked, last.attended, before.divided)
        attended = begun + time.attention
        divided = max(attended, last.divided) + time.division
        ends.append(HeadEnds(loaded, predicted, masked, begun, attended, divided))
    return ends
