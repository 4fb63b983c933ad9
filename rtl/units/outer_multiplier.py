"""The twin of ``sim/units/outer_multiplier.py``: a binary64 multiplier that holds one of its factors.

Products of digits, their sum, a shift up for subnormal factors, a shift down for subnormal products, and the rounding
are steps that are dealt out over the stages. An index goes along. The multiplier is a pipeline also where elements
come less often than every cycle; it is not shared by the cycles between.
"""

from __future__ import annotations

from dataclasses import replace

from amaranth.hdl import Module, Mux, Signal, Value

from siloom.rtl.barrel import named
from siloom.rtl.digit_product import digit_products, sum_of_products
from siloom.rtl.elastic import Values
from siloom.rtl.float_sum import Added
from siloom.rtl.floats import limit, multiply, normalise_within, rescale, round_even, settle, unpack
from siloom.rtl.paced import pipeline
from siloom.rtl.spread import ADD, COMPARE, MULTIPLY, SHIFT, Step, spread
from siloom.rtl.twin import Twin
from siloom.sim.contract import FP64, fixed
from siloom.sim.units import outer_multiplier

_BITS = FP64.mantissa_bits + 1


class OuterMultiplier(Twin):
    """An outer-product multiplier of the size that ``design`` says."""

    def __init__(self, design: outer_multiplier.OuterMultiplier) -> None:
        """Take the promise for this size."""
        super().__init__(outer_multiplier.contract(design))

    def elaborate(self, platform: object) -> Module:
        """Factors, product, the product in place, its code."""
        m = Module()
        steps = [
            Step(self._take, COMPARE),
            Step(self._multiply, MULTIPLY),
            Step(self._sum, 2 * ADD),
            Step(self._normalise, ADD + SHIFT),
            Step(self._settle, ADD + SHIFT),
            Step(self._round, ADD),
        ]
        pipeline(m, self, spread(steps, fixed(self.contract.latency)))
        return m

    def _take(self, m: Module, given: Values, moves: Value) -> Values:
        held = Signal(FP64.bits, name="held")
        factor = Mux(given["first"], given["factor"], held)
        with m.If(moves):
            m.d.sync += held.eq(factor)
        return {"index": given["index"], "a": unpack(m, factor, FP64), "b": unpack(m, given["value"], FP64)}

    def _multiply(self, m: Module, given: Values, moves: Value) -> Values:
        a, b = given["a"], given["b"]
        products = digit_products(m, a.significand, b.significand)
        return {"index": given["index"], "product": rescale(m, multiply(m, a, b, products), FP64)}

    def _sum(self, m: Module, given: Values, moves: Value) -> Values:
        product = replace(given["product"], significand=sum_of_products(m, given["product"].significand, _BITS))
        # Where both factors are subnormal no shift is needed: nothing of the product is left.
        room = named(m, Mux(product.exponent < 1, 0, product.exponent - 1)[: len(product.exponent) - 1], "room")
        return {"index": given["index"], "product": Added(product, limit(m, _BITS, room))}

    def _normalise(self, m: Module, given: Values, moves: Value) -> Values:
        return {**given, "product": normalise_within(m, given["product"].number, given["product"].mark)}

    def _settle(self, m: Module, given: Values, moves: Value) -> Values:
        return {**given, "product": settle(m, given["product"])}

    def _round(self, m: Module, given: Values, moves: Value) -> Values:
        return {**given, "product": round_even(m, given["product"], FP64, saturate=False)}


TWIN = OuterMultiplier
