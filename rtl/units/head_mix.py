"""The twin of ``sim/units/head_mix.py``: a dot product over heads, rounded and saturated."""

from __future__ import annotations

from amaranth.hdl import Module, Value, signed

from siloom.rtl.dot_product import dot_product
from siloom.rtl.elastic import Values, elastic
from siloom.rtl.rounding import clamp, half_even
from siloom.rtl.spread import ADD, COMPARE, Step, spread
from siloom.rtl.twin import Twin
from siloom.sim.contract import Whole, fixed
from siloom.sim.units import head_mix


class HeadMix(Twin):
    """A lane of the size that ``design`` says."""

    def __init__(self, design: head_mix.HeadMix) -> None:
        """Take the promise for this size."""
        super().__init__(head_mix.contract(design))
        self.design = design

    def elaborate(self, platform: object) -> Module:
        """All products, their sum, its nearest code, the ends of the format."""
        m = Module()
        heads, product_bits = self.design.heads, self.design.code_bits + self.design.weight_bits
        sum_shape = signed(product_bits + (heads - 1).bit_length())
        steps = [
            *dot_product("x", "w", heads, product_bits, "sum", sum_shape),
            Step(self._round, ADD),
            Step(self._clamp, COMPARE),
        ]
        elastic(m, self, spread(steps, fixed(self.contract.latency)))
        return m

    def _round(self, m: Module, given: Values, moves: Value) -> Values:
        return {"nearest": half_even(given["sum"], self.design.weight_fraction)}

    def _clamp(self, m: Module, given: Values, moves: Value) -> Values:
        code = Whole(self.design.code_bits)
        return {"y": clamp(given["nearest"], code.low, code.high)}


TWIN = HeadMix
