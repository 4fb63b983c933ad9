"""The twin of ``sim/units/share_sum.py``: a pipeline of one digit of the share after the other, then products and sums.

A share is at most one. So it is found as what it is below one, ``(power - total) / total``, which is no further from
zero than the divisor: all its digits lie behind the point. A total of zero, with its power of zero, comes out as a
share of zero by itself.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value, signed

from siloom.rtl.divider import division
from siloom.rtl.elastic import Values, elastic
from siloom.rtl.lanes import lanes, running_sums, side_by_side
from siloom.rtl.rounding import clamp, half_even
from siloom.rtl.spread import ADD, COMPARE, MULTIPLY, Step, spread
from siloom.rtl.twin import Twin
from siloom.sim.contract import Whole, fixed
from siloom.sim.units import share_sum


class ShareSum(Twin):
    """Sums of the size that ``design`` says."""

    def __init__(self, design: share_sum.ShareSum) -> None:
        """Take the promise for this size."""
        super().__init__(share_sum.contract(design))
        self.design = design
        self.product = signed(design.share_fraction + 1 + design.value_bits)
        self.sum = signed(design.share_fraction + design.value_bits + (design.most_beats - 1).bit_length())

    def elaborate(self, platform: object) -> Module:
        """The share, its products with the vector, their sums, these in the vector's format."""
        m = Module()
        steps = [
            Step(self._below_one, ADD),
            *division(self.design.share_fraction),
            Step(self._multiply, MULTIPLY),
            Step(self._add, ADD),
            Step(self._round, ADD),
            Step(self._clamp, COMPARE),
        ]
        elastic(m, self, spread(steps, fixed(self.contract.latency)))
        return m

    def _below_one(self, m: Module, given: Values, moves: Value) -> Values:
        kept = {name: given[name] for name in ("value", "clear", "last")}
        left = Signal(signed(self.design.total.bits + 1))
        m.d.comb += left.eq(given["power"] - given["total"])
        return {**kept, "left": left, "by": given["total"]}

    def _multiply(self, m: Module, given: Values, moves: Value) -> Values:
        below = given["quotient"]
        share = Cat(below[:-1], ~below[-1])  # one more than that
        products = [share * value for value in lanes(given["value"])]
        kept = {name: given[name] for name in ("clear", "last")}
        return {**kept, "product": side_by_side(m, "products", self.product, products)}

    def _add(self, m: Module, given: Values, moves: Value) -> Values:
        sums = running_sums(m, "sums", self.sum, lanes(given["product"]), given["clear"], moves)
        return {"sum": sums, "last": given["last"]}

    def _round(self, m: Module, given: Values, moves: Value) -> Values:
        whole = [half_even(total, self.design.share_fraction) for total in lanes(given["sum"])]
        return {"whole": side_by_side(m, "nearest", whole[0].shape(), whole), "last": given["last"]}

    def _clamp(self, m: Module, given: Values, moves: Value) -> Values:
        value = Whole(self.design.value_bits)
        held = [clamp(whole, value.low, value.high) for whole in lanes(given["whole"])]
        return {"sum": side_by_side(m, "held", signed(value.bits), held), "gives": given["last"]}


TWIN = ShareSum
