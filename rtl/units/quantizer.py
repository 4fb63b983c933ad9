"""The twin of ``sim/units/quantizer.py``: for every lane a multiplier, an increment and two comparators.

All lanes share the beat's scale. The product is exact; its bits behind the point decide whether one is added.
"""

from __future__ import annotations

from amaranth.hdl import Module, Value, signed

from siloom.rtl.elastic import Values, elastic
from siloom.rtl.lanes import lanes, side_by_side
from siloom.rtl.rounding import clamp, half_even
from siloom.rtl.spread import ADD, COMPARE, MULTIPLY, Step, spread
from siloom.rtl.twin import Twin
from siloom.sim.contract import Whole, fixed
from siloom.sim.units import quantizer


class Quantizer(Twin):
    """Numbers times a scale, rounded and cut off, of the size that ``design`` says."""

    def __init__(self, design: quantizer.Quantizer) -> None:
        """Take the promise for this size."""
        super().__init__(quantizer.contract(design))
        self.design = design

    def elaborate(self, platform: object) -> Module:
        """Exact products, their nearest whole numbers, the range."""
        m = Module()
        steps = [Step(self._multiply, MULTIPLY), Step(self._round, ADD), Step(self._clamp, COMPARE)]
        elastic(m, self, spread(steps, fixed(self.contract.latency)))
        return m

    def _multiply(self, m: Module, given: Values, moves: Value) -> Values:
        products = [x * given["scale"] for x in lanes(given["x"])]
        return {"product": side_by_side(m, "products", products[0].shape(), products)}

    def _round(self, m: Module, given: Values, moves: Value) -> Values:
        whole = [half_even(product, self.design.shift) for product in lanes(given["product"])]
        return {"whole": side_by_side(m, "nearest", whole[0].shape(), whole)}

    def _clamp(self, m: Module, given: Values, moves: Value) -> Values:
        # Symmetric: the most negative code is never used.
        top = Whole(self.design.out_bits).high
        held = [clamp(whole, -top, top) for whole in lanes(given["whole"])]
        return {"y": side_by_side(m, "held", signed(self.design.out_bits), held)}


TWIN = Quantizer
