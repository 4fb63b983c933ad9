"""The twin of ``sim/units/int4_predictor.py``: a multiplier for every element and a tree of adders."""

from __future__ import annotations

from amaranth.hdl import Module

from siloom.rtl.dot_product import dot_product
from siloom.rtl.elastic import elastic
from siloom.rtl.spread import spread
from siloom.rtl.twin import Twin
from siloom.sim.contract import fixed
from siloom.sim.units import int4_predictor


class Int4Predictor(Twin):
    """Dot product of two vectors of the size that ``design`` says."""

    def __init__(self, design: int4_predictor.Int4Predictor) -> None:
        """Take the promise for this size."""
        super().__init__(int4_predictor.contract(design))
        self.design = design

    def elaborate(self, platform: object) -> Module:
        """All products at once, then their sum."""
        m = Module()
        # Without the most negative code a product needs one bit less than both factors have together.
        product_bits = 2 * self.design.bits - 1
        steps = dot_product("q", "k", self.design.dim, product_bits, "score", self.o.p.score.shape())
        elastic(m, self, spread(steps, fixed(self.contract.latency)))
        return m


TWIN = Int4Predictor
