"""The units that ViTCoD's lines and its output are made of, and the cycles that follow from their Contracts."""

from __future__ import annotations

import math

from siloom.models._vitcod_design import ViTCoDDesign
from siloom.sim.units.bank_sum import BankSum
from siloom.sim.units.dot_product import DotProduct
from siloom.sim.units.exp_float import ExpFloat, for_scores
from siloom.sim.units.head_mix import HeadMix
from siloom.sim.units.reciprocal import Reciprocal
from siloom.sim.units.scaled_code import ScaledCode
from siloom.sim.units.weighted_sum import WeightedSum

OUTPUT_CYCLES = sum(
    (
        1,  # a score is read
        ExpFloat().stages,
        1,  # a value is read
        WeightedSum().stages,
        3,  # sums leave their line, are written, and read together with the other engine's
        BankSum(banks=2).stages,
        Reciprocal().stages,
        ScaledCode().stages,
    )
)
"""From the cycle in which a row's last score is asked for until its output is there."""


def power_unit(design: ViTCoDDesign, dim: int) -> ExpFloat:
    """The exponential of scores of heads of this length, the largest taken off."""
    step = 2.0 ** (-2 * design.fraction_bits) / math.sqrt(dim)
    return for_scores(step, 2 * design.operand_bits + (dim - 1).bit_length() + 1, design.mantissa_bits)


def product_unit(design: ViTCoDDesign, dim: int) -> DotProduct:
    """A line's multipliers and the sum that passes through them, for a key of ``dim`` elements."""
    return DotProduct(dim=dim, a_bits=design.operand_bits, b_bits=design.operand_bits)


def sum_unit(design: ViTCoDDesign, dim: int) -> WeightedSum:
    """A line's outputs, which stay while values pass by."""
    return WeightedSum(dim=dim, value_bits=design.operand_bits, mantissa_bits=design.mantissa_bits)


def mix_unit(design: ViTCoDDesign, heads: int) -> HeadMix:
    """A lane of the decoder, which makes one element of ``heads`` encoded ones."""
    return HeadMix(
        heads=heads,
        code_bits=design.operand_bits,
        weight_bits=design.weight_bits,
        weight_fraction=design.weight_bits - 2,  # weights of singular vectors lie between -1 and 1
    )
