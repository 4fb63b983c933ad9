"""The twin of ``sim/units/exp_split.py``: two tables, looked up side by side, and a multiplier."""

from __future__ import annotations

from amaranth.hdl import Module, Value

from siloom.rtl.elastic import Values, elastic
from siloom.rtl.split_power import split_entries, split_power
from siloom.rtl.spread import LOOK_UP, MULTIPLY, Step, spread
from siloom.rtl.twin import Twin
from siloom.sim.contract import fixed
from siloom.sim.units import exp_split


class ExpSplit(Twin):
    """e to the negative of a number of the size that ``design`` says."""

    def __init__(self, design: exp_split.ExpSplit) -> None:
        """Take the promise for this size."""
        super().__init__(exp_split.contract(design))
        self.design = design

    def elaborate(self, platform: object) -> Module:
        """Both entries, then their product, cut off."""
        m = Module()
        steps = [Step(self._look_up, LOOK_UP), Step(self._multiply, MULTIPLY)]
        elastic(m, self, spread(steps, fixed(self.contract.latency)))
        return m

    def _look_up(self, m: Module, given: Values, moves: Value) -> Values:
        high, low = split_entries(m, self.design, given["x"])
        return {"high": high, "low": low}

    def _multiply(self, m: Module, given: Values, moves: Value) -> Values:
        return {"power": split_power(m, self.design, given["high"], given["low"])}


TWIN = ExpSplit
