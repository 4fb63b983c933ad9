"""The twin of ``sim/units/low_rank_detector.py``: a dot product, then a quantizer of its sum."""

from __future__ import annotations

from amaranth.hdl import Module, Value, signed

from siloom.rtl.dot_product import dot_product
from siloom.rtl.elastic import Values, elastic
from siloom.rtl.rounding import clamp, half_even
from siloom.rtl.spread import ADD, COMPARE, MULTIPLY, Step, spread
from siloom.rtl.twin import Twin
from siloom.sim.contract import Whole, fixed
from siloom.sim.units import low_rank_detector


class LowRankDetector(Twin):
    """One element of a low-precision product of the size that ``design`` says."""

    def __init__(self, design: low_rank_detector.LowRankDetector) -> None:
        """Take the promise for this size."""
        super().__init__(low_rank_detector.contract(design))
        self.design = design

    def elaborate(self, platform: object) -> Module:
        """All products, their sum, the sum times the scale, its nearest whole number, the range."""
        m = Module()
        design = self.design
        # The accumulator is no wider than the sums of this size.
        sum_bits = (design.rank * self.top * self.top).bit_length() + 1
        steps = [
            *dot_product("x", "w", design.rank, 2 * design.bits - 1, "sum", signed(sum_bits)),
            Step(self._scale, MULTIPLY),
            Step(self._round, ADD),
            Step(self._clamp, COMPARE),
        ]
        elastic(m, self, spread(steps, fixed(self.contract.latency)))
        return m

    @property
    def top(self) -> int:
        """The largest code of operands and result; the smallest is its negative."""
        return Whole(self.design.bits).high

    def _scale(self, m: Module, given: Values, moves: Value) -> Values:
        return {"scaled": given["sum"] * given["scale"]}

    def _round(self, m: Module, given: Values, moves: Value) -> Values:
        return {"nearest": half_even(given["scaled"], self.design.shift)}

    def _clamp(self, m: Module, given: Values, moves: Value) -> Values:
        return {"y": clamp(given["nearest"], -self.top, self.top)}


TWIN = LowRankDetector
