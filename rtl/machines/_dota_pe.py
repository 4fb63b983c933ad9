"""A PE of DOTA's array: a multiplier that comes apart, and the sums of the values' elements that are its own."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, signed
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from siloom.rtl.lanes import lanes
from siloom.rtl.machines._dota_size import DotaSize
from siloom.rtl.units.multi_precision_mul import MultiPrecisionMul


class Pe(Component):
    """One PE.

    Attributes:
        valid, a, b, mode: In: operands.
        whole: Out: their product, two cycles later.
        parts: Out: products of all pairs of the numbers that the detector's mode makes of them.
        add, slice, first: In: the product is added to the sum of this element, or is its first.
        sums: Out: of its elements.
    """

    valid: Any
    a: Any
    b: Any
    mode: Any
    whole: Any
    parts: Any
    add: Any
    slice: Any
    first: Any
    sums: Any

    def __init__(self, size: DotaSize) -> None:
        self.size = size
        unit = size.multiplier
        super().__init__(
            {
                "valid": In(1),
                "a": In(signed(unit.wide_bits)),
                "b": In(signed(unit.wide_bits)),
                "mode": In(unit.mode.bits),
                "whole": Out(signed(2 * unit.wide_bits)),
                "parts": Out(data.ArrayLayout(signed(2 * size.bits), size.numbers**2)),
                "add": In(1),
                "slice": In(range(max(2, size.each))),
                "first": In(1),
                "sums": Out(data.ArrayLayout(signed(size.sum_bits), size.each)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """The multiplier, which always moves, and registers."""
        m = Module()
        m.submodules.multiplier = unit = MultiPrecisionMul(self.size.multiplier)
        products = lanes(unit.o.p.product)
        m.d.comb += [
            unit.i.valid.eq(self.valid),
            unit.i.p.a.eq(self.a),
            unit.i.p.b.eq(self.b),
            unit.i.p.mode.eq(self.mode),
            unit.o.ready.eq(1),
            self.whole.eq(products[0]),
            *(part.eq(product) for part, product in zip(self.parts, products, strict=False)),
        ]
        for n in range(self.size.each):
            with m.If(self.add & (self.slice == n)):
                m.d.sync += self.sums[n].eq(Mux(self.first, 0, self.sums[n]) + self.whole)
        return m
