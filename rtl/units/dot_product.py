"""The twin of ``sim/units/dot_product.py``: a multiplier for every element and a tree of adders."""

from __future__ import annotations

from amaranth.hdl import Module

from siloom.rtl.dot_product import dot_product as steps_of
from siloom.rtl.elastic import elastic
from siloom.rtl.spread import spread
from siloom.rtl.twin import Twin
from siloom.sim.contract import fixed
from siloom.sim.units import dot_product


class DotProduct(Twin):
    """Exact product of two vectors of the size that ``design`` says."""

    def __init__(self, design: dot_product.DotProduct) -> None:
        """Take the promise for this size."""
        super().__init__(dot_product.contract(design))
        self.design = design

    def elaborate(self, platform: object) -> Module:
        """All products at once, then their sum."""
        m = Module()
        bits = self.design.a_bits + self.design.b_bits
        steps = steps_of("a", "b", self.design.dim, bits, "product", self.o.p.product.shape())
        elastic(m, self, spread(steps, fixed(self.contract.latency)))
        return m


TWIN = DotProduct
