"""The twin of ``sim/units/scaled_code.py``: in every lane an exact product, rounded to a single and to a whole number.

The product gets a leading one, is cut to a single's bits, then shifted down to where its last bit is worth one and cut
there. Singles below the normal ones are not told apart: as whole numbers they are zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Value, signed

from siloom.rtl.barrel import barrel_right, named
from siloom.rtl.elastic import Values, elastic
from siloom.rtl.floats import multiply, normalise, rescale, unpack
from siloom.rtl.lanes import lanes, side_by_side
from siloom.rtl.spread import ADD, COMPARE, MULTIPLY, SHIFT, Step, spread
from siloom.rtl.twin import Twin
from siloom.sim.contract import FP32, fixed
from siloom.sim.units import scaled_code

_BITS = FP32.mantissa_bits + 1


@dataclass(frozen=True)
class Size:
    """A size in whole numbers of ``2**(exponent - bias - mantissa_bits)`` of a single."""

    whole: Any
    exponent: Any
    negative: Any


@dataclass(frozen=True)
class Shifted:
    """A size with one bit behind the point, and whether ones lay behind that; or it is larger than any code."""

    fixed: Any
    lost: Any
    large: Any
    negative: Any


class ScaledCode(Twin):
    """Sums times a scale, of the size that ``design`` says."""

    def __init__(self, design: scaled_code.ScaledCode) -> None:
        """Take the promise for this size."""
        super().__init__(scaled_code.contract(design))
        self.design = design

    def elaborate(self, platform: object) -> Module:
        """The same steps in every lane."""
        m = Module()
        logics = ((normalise, ADD + SHIFT), (_single, ADD), (_shift, ADD + SHIFT), (self._code, ADD + COMPARE))
        steps = [Step(self._unpack, 0), Step(self._multiply, MULTIPLY)]
        steps += [Step(partial(_each, logic), depth) for logic, depth in logics]
        elastic(m, self, spread([*steps, Step(self._together, 0)], fixed(self.contract.latency)))
        return m

    def _unpack(self, m: Module, given: Values, moves: Value) -> Values:
        found = {f"value{lane}": unpack(m, value, FP32) for lane, value in enumerate(lanes(given["value"]))}
        return {**found, "scale": unpack(m, given["scale"], FP32)}

    def _multiply(self, m: Module, given: Values, moves: Value) -> Values:
        scale = given["scale"]
        return {name: rescale(m, multiply(m, value, scale), FP32) for name, value in given.items() if name != "scale"}

    def _code(self, m: Module, given: Shifted) -> Any:
        """The nearest whole number, ties to even, within the code's ends."""
        bits = self.design.code_bits
        up = given.fixed[0] & (given.lost | given.fixed[1])
        whole = named(m, given.fixed[1:] + up, "whole")
        end = 1 << (bits - 1)
        size = named(m, Mux(given.large | (whole > end), end, whole)[:bits], "size")
        high = named(m, Mux(size[-1], end - 1, size), "high")
        return named(m, Mux(given.negative, -size, high)[:bits].as_signed(), "code")

    def _together(self, m: Module, given: Values, moves: Value) -> Values:
        codes = [given[f"value{lane}"] for lane in range(self.design.lanes)]
        return {"code": side_by_side(m, "codes", signed(self.design.code_bits), codes)}


def _each(logic: Any, m: Module, given: Values, moves: Value) -> Values:
    return {name: logic(m, value) for name, value in given.items()}


def _single(m: Module, number: Any) -> Size:
    """A product with a leading one, or zero, as a single has it; a carry is one bit more."""
    kept, rest = number.significand[-_BITS:], number.significand[:-_BITS]
    up = rest[-1] & (rest[:-1].any() | kept[0])
    return Size(named(m, kept + up, "single"), number.exponent, number.negative)


def _shift(m: Module, size: Size) -> Shifted:
    """Down to where the last bit is worth a half."""
    one = FP32.bias + FP32.mantissa_bits  # the exponent at which the last bit is worth one
    far = _BITS + 2  # places behind which nothing can round up to one
    down = named(m, one - size.exponent, "down")
    large = named(m, (down < 0) & size.whole.any(), "large")
    amount = named(m, Mux(down > far, far, down)[: far.bit_length()], "amount")
    shifted, lost = barrel_right(m, Cat(Const(0, 1), size.whole), amount)
    return Shifted(shifted, lost, large, size.negative)


TWIN = ScaledCode
