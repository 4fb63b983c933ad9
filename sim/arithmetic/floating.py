"""What the arithmetics of floating-point units share: names of accumulators, and a product through ``float_gemm``.

The sum of a product is that of ``sim.units.fp_mac``: exact products, added in the order of k from +0 with one rounding
a step, to nearest with ties to even or by chance (``acc_rounding=stochastic``: ``sim.units.float_gemm``). With
``chunk`` the accumulator is cleared every so many products, and the chunks' sums are added in float32, nearest even, in
their order from +0. Beyond its largest number a sum becomes infinite and stays so, or stays at the largest number at
every step (``overflow=saturate``). Infinities of two signs among chunks give NaN. Nothing that is not finite is hidden:
counts say how many sums there were, and results carry them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial

import numpy as np

from siloom.sim.arithmetic import Counts, Product, Singles
from siloom.sim.arithmetic.scaling import Coded, Round, coded
from siloom.sim.contract import BF16, FP16, FP32, Float
from siloom.sim.errors import InputError
from siloom.sim.units.chance import seed
from siloom.sim.units.float_gemm import float_gemm
from siloom.sim.units.fp_mac import FpMac
from siloom.sim.units.host_floats import Rounding, rounding
from siloom.sim.units.operand_rounding import to_floats, to_floats_by_chance

ROUNDINGS = ("nearest", "stochastic")
_NAMED = {"fp32": FP32, "fp16": FP16, "bf16": BF16}


def accumulator(owner: str, text: str) -> Float:
    """The format that ``acc`` names.

    Raises:
        InputError: no name of a format, or one that is beyond what units have.
    """
    bits = FpMac.parameters()
    lows, highs = ([getattr(bits[f"acc_{part}_bits"], end) for part in ("exponent", "mantissa")]
                   for end in ("low", "high"))  # fmt: skip
    found = re.fullmatch(r"e(\d{1,2})m(\d{1,2})", text)
    if text in _NAMED:
        return _NAMED[text]
    exponent, mantissa = (int(found[1]), int(found[2])) if found else (0, 0)
    if not (lows[0] <= exponent <= highs[0] and lows[1] <= mantissa <= highs[1]):
        rule = f"{', '.join(_NAMED)} or eXmY with X from {lows[0]} to {highs[0]} and Y from {lows[1]} to {highs[1]}"
        raise InputError(f"{owner}: acc must be {rule}, got {text!r}")
    return Float(exponent, mantissa)


@dataclass(frozen=True, kw_only=True)
class FloatWay:
    """One direction of an arithmetic, ready to multiply."""

    name: str
    """For errors: the arithmetic and the direction."""
    unit: FpMac
    tops: tuple[float, float]
    """What the largest number of each operand is scaled to."""
    scaling: str
    block: int
    chunk: int
    by_chance: bool
    sums_by_chance: bool


def float_product(way: FloatWay, a: Singles, b: Singles, key: int) -> Product:
    """A times B.

    Raises:
        InputError: operands that are not finite.
    """
    x = _coded(way, a, 0, way.unit.a, key)
    y = _coded(way, b.transpose(0, 2, 1), 1, way.unit.b, key)
    blocks = x.scales.shape[2] > 1
    values, beyond = float_gemm(
        x.codes,
        y.codes.transpose(0, 2, 1),
        way.unit,
        chunk=way.block if blocks else way.chunk,
        a_scales=x.scales,
        b_scales=y.scales,
        key=seed(key, 2) if way.sums_by_chance else None,
    )
    return Product(values, Counts(values.size, beyond, a.size + b.size, x.clipped + y.clipped))


def _coded(way: FloatWay, x: Singles, place: int, form: Float, key: int) -> Coded:
    to = rounding(form, False)
    chance = np.uint64(seed(key, place))
    to_codes: Round = partial(_by_chance, to, chance) if way.by_chance else partial(_nearest, to)
    name = f"{way.name}: {'ab'[place]}"
    return coded(x, way.tops[place], way.scaling, way.block, to_codes, way.by_chance, name)


def _nearest(to: Rounding, values: Singles, scale: np.float32, out: Singles) -> int:
    return to_floats(values, scale, to, out)


def _by_chance(to: Rounding, key: np.uint64, values: Singles, scale: np.float32, out: Singles) -> int:
    return to_floats_by_chance(values, scale, to, key, out)
