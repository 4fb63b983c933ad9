"""The twin of ``sim/units/mask_threshold.py``: a constant multiplier and a comparator.

A whole number is above a fraction exactly where it is above that fraction's whole part. So the total's share is cut
down to a whole number, and the comparator is no wider than a power or that.
"""

from __future__ import annotations

from amaranth.hdl import Module, Value

from siloom.rtl.elastic import Values, elastic
from siloom.rtl.shifts import shifted_right
from siloom.rtl.spread import COMPARE, MULTIPLY, Step, spread
from siloom.rtl.twin import Twin
from siloom.sim.contract import fixed
from siloom.sim.units import mask_threshold


class MaskThreshold(Twin):
    """Comparison of a power with a share of a total, of the size that ``design`` says."""

    def __init__(self, design: mask_threshold.MaskThreshold) -> None:
        """Take the promise for this size."""
        super().__init__(mask_threshold.contract(design))
        self.design = design

    def elaborate(self, platform: object) -> Module:
        """The share, then whether the power is above it."""
        m = Module()
        steps = [Step(self._multiply, MULTIPLY), Step(self._compare, COMPARE)]
        elastic(m, self, spread(steps, fixed(self.contract.latency)))
        return m

    def _multiply(self, m: Module, given: Values, moves: Value) -> Values:
        share = given["total"] * self.design.constant
        return {"power": given["power"], "share": shifted_right(m, "share", share, self.design.threshold_bits)}

    def _compare(self, m: Module, given: Values, moves: Value) -> Values:
        return {"kept": given["power"] > given["share"]}


TWIN = MaskThreshold
