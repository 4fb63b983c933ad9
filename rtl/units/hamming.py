"""The twin of ``sim/units/hamming.py``: exclusive or, a tree of adders, a table of cosines.

Every bit of both hashes is compared at once. The bits that differ are counted by adding them in pairs, one level of
the tree a step, and their count looks up the cosine.
"""

from __future__ import annotations

from amaranth.hdl import Module, Shape, Value
from amaranth.lib import data

from siloom.rtl.elastic import Values, elastic
from siloom.rtl.lanes import tree
from siloom.rtl.spread import LOOK_UP, Step, spread
from siloom.rtl.table import look_up
from siloom.rtl.twin import Twin
from siloom.sim.contract import fixed
from siloom.sim.units import hamming


class Hamming(Twin):
    """Distance and cosine of two hashes of the size that ``design`` says."""

    def __init__(self, design: hamming.Hamming) -> None:
        """Take the promise for this size."""
        super().__init__(hamming.contract(design))
        self.design = design

    def elaborate(self, platform: object) -> Module:
        """Bits that differ, counted level by level, then the cosine."""
        m = Module()
        count = tree("distance", self.design.bits, Shape.cast(self.o.p.distance.shape()))
        steps = [Step(self._differ), *count, Step(self._cosine, LOOK_UP)]
        elastic(m, self, spread(steps, fixed(self.contract.latency)))
        return m

    def _differ(self, m: Module, given: Values, moves: Value) -> Values:
        bits = Value.cast(given["query"]) ^ Value.cast(given["key"])
        single = self.design.bits == 1
        return {"distance": bits if single else data.View(data.ArrayLayout(1, self.design.bits), bits)}

    def _cosine(self, m: Module, given: Values, moves: Value) -> Values:
        design = self.design
        codes = hamming.cosine_table(design.bits, design.bias_rad, design.cosine_fraction).tolist()
        cosine = look_up(m, "cosines", codes, self.o.p.cosine.shape(), given["distance"])
        return {"distance": given["distance"], "cosine": cosine}


TWIN = Hamming
