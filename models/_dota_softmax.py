"""DOTA's softmax: exponentials by a table, an exact sum, and quotients of whole numbers.

How far a score lies below the largest that its row keeps is a whole number; e to minus it comes as an FP32 number from
the table of ``sim/units/exp_float.py``, whose constant holds the scale of scores. Differences beyond which nothing is
left in ``POWER_BITS`` bits behind the point are held at that. Powers are cut to these bits, so that their sum is exact
and does not depend on the order in which rounds bring a row's keys; a quotient is rounded to nearest, ties to even.

A power is too small by at most ``2**(2**-TABLE_BITS) - 1`` (0.07 %) of itself and a unit in its last place, beside half
such a unit for the table's rounding and a hundred-thousandth for the constant's.

Source: the paper has scale and softmax in FP32 (from a reading note); how its exponentials and sums are made is not
known. Table, cut and sum are assumed: such as hardware can give, a row's next keys in every cycle.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from siloom.models._dota_design import DotaDesign
from siloom.sim.approximation import Mask
from siloom.sim.units.exp_float import ExpFloat, exp_float_codes

Ints = npt.NDArray[np.int64]

TABLE_BITS = 10
POWER_BITS = 23
"""Behind the point of a power and of a sum: those of an FP32 number from 1 to 2."""
SOFTMAX_FILL = 6
"""Cycles of a group's softmax in which its pipelines fill: the first quotient waits for the last exponential."""
_SCALE_BITS = 22  # of the constant that scores are multiplied by
_MOST_SCORE_BITS = 40


def exponential(design: DotaDesign, dim: int) -> ExpFloat:
    """The unit for differences of scores of vectors of length ``dim``."""
    unit = 2.0 ** (-2 * design.fraction_bits) / math.sqrt(dim)
    reach = (POWER_BITS + 1) * math.log(2.0) / unit
    return ExpFloat(
        score_bits=min(_MOST_SCORE_BITS, math.ceil(math.log2(reach)) + 1),
        unit=unit,
        scale_bits=_SCALE_BITS - math.ceil(math.log2(unit * math.log2(math.e))),
        table_bits=TABLE_BITS,
        mantissa_bits=POWER_BITS,
        largest_exponent=0,
        stages=3,
    )


def powers_of(codes: Ints) -> Ints:
    """FP32 patterns of numbers of at most 1 as whole multiples of ``2**-POWER_BITS``, cut off."""
    significands = codes & ((1 << POWER_BITS) - 1) | 1 << POWER_BITS
    powers: Ints = significands >> np.minimum(127 - (codes >> POWER_BITS), POWER_BITS + 1)
    return powers


def softmax_weights(design: DotaDesign, dim: int, scores: Ints, kept: Mask) -> npt.NDArray[np.float64]:
    """Codes of softmax weights [rows, keys] of exact products, over the keys that each row keeps: at least one."""
    unit, bits = exponential(design, dim), design.operand_bits - 1
    best = np.where(kept, scores, np.iinfo(np.int64).min).max(axis=1)
    rows, keys = np.nonzero(kept)
    below = np.maximum(scores[rows, keys] - best[rows], -(1 << (unit.score_bits - 1)))
    powers = powers_of(exp_float_codes(below, unit))
    # Sums stay below 2^53, so that a double holds them.
    totals = np.bincount(rows, powers, len(scores)).astype(np.int64)[rows]
    quotients = (powers << bits) // totals
    beyond = 2 * ((powers << bits) - quotients * totals)
    quotients += (beyond > totals) | ((beyond == totals) & (quotients & 1 == 1))
    weights = np.zeros(kept.shape, np.float64)
    weights[rows, keys] = np.minimum(quotients, (1 << bits) - 1)
    return weights
