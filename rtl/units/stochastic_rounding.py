"""The twin of ``sim/units/stochastic_rounding.py``: chance is added below the last place that is kept.

Whether what is cut off and chance together reach one is the carry of that addition, so there is no comparison: a number
is cut to as many bits below its last place as chance has, chance is added, and the carry has gone where it belongs.
Of a floating-point number the significand is first moved to where the target's format has its last place.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from amaranth.hdl import Cat, Const, Module, Value

from siloom.rtl.barrel import named
from siloom.rtl.elastic import Values, elastic
from siloom.rtl.floats import Number, judge, limit, lower, normalise_within, pattern, rescale, unpack
from siloom.rtl.rounding import clamp
from siloom.rtl.shifts import extended, low_unread, shifted_right
from siloom.rtl.spread import ADD, COMPARE, SHIFT, Step, spread
from siloom.rtl.twin import Twin
from siloom.rtl.unread import unread
from siloom.sim.contract import Float, fixed
from siloom.sim.units import stochastic_rounding


class StochasticRounding(Twin):
    """A rounding unit of the size that ``design`` says."""

    def __init__(self, design: stochastic_rounding.StochasticRounding) -> None:
        """Take the promise for this size."""
        super().__init__(stochastic_rounding.contract(design))
        self.design = design
        # Half a step more than chance is one bit more of it.
        self.chance_bits = design.random_bits + (design.rest == "half")

    def elaborate(self, platform: object) -> Module:
        """Move to the last place, add chance, judge what is beyond the range."""
        m = Module()
        source, target = self.design.forms
        if isinstance(source, Float) and isinstance(target, Float):
            steps = self._float_steps(source, target)
        else:
            steps = [Step(self._round_whole, ADD), Step(self._fit, ADD)]
        elastic(m, self, spread(steps, fixed(self.contract.latency)))
        return m

    def _float_steps(self, source: Float, target: Float) -> list[Step]:
        # The significand as far as it counts: below the last place it has as many bits as chance.
        bits = 1 + target.mantissa_bits + self.chance_bits

        def cut(m: Module, x: Number) -> Number:
            spare = len(x.significand) - bits
            if spare > 0:
                unread(m, [x.significand[:spare]])
            return replace(x, significand=Cat(Const(0, max(-spare, 0)), x.significand[max(spare, 0) :]))

        def take(m: Module, given: Values, moves: Value) -> Values:
            x = rescale(m, unpack(m, given["x"], source), target)
            return {"x": x if wider else cut(m, x), "random": given["random"]}

        def lift(m: Module, given: Values, moves: Value) -> Values:
            """Give the source's subnormals a leading one, which are normal in a target of a wider range."""
            x = given["x"]
            mark = limit(m, source.mantissa_bits, named(m, (x.exponent - 1)[: len(x.exponent)], "room"))
            return {**given, "x": cut(m, normalise_within(m, x, mark))}

        def place(m: Module, given: Values, moves: Value) -> Values:
            """Move what is subnormal in the target to its last place; what is shifted out is below chance."""
            return {**given, "x": lower(m, given["x"])[0]}

        def add(m: Module, given: Values, moves: Value) -> Values:
            x = given["x"]
            total = pattern(x.exponent, x.significand) + self._chance(given["random"])
            return {"x": x, "found": named(m, total, low_unread("total"))[self.chance_bits :]}

        def finish(m: Module, given: Values, moves: Value) -> Values:
            return {"y": judge(m, given["x"], given["found"], target, self.design.overflow == "saturate")}

        wider, narrower = target.bias > source.bias, target.bias < source.bias
        moved = [Step(lift, ADD + SHIFT)] * wider + [Step(place, ADD + SHIFT)] * narrower
        return [Step(take, ADD), *moved, Step(add, ADD), Step(finish, COMPARE)]

    def _round_whole(self, m: Module, given: Values, moves: Value) -> Values:
        x, spare = given["x"], self.design.shift - self.chance_bits
        if spare > 0:
            unread(m, [x[:spare]])
        fine = Cat(Const(0, max(-spare, 0)), x[max(spare, 0) :]).as_signed()
        return {"kept": shifted_right(m, "total", fine + self._chance(given["random"]), self.chance_bits)}

    def _fit(self, m: Module, given: Values, moves: Value) -> Values:
        kept, bits = given["kept"], self.design.out_bits
        if self.design.overflow == "saturate":
            kept = clamp(kept, -(1 << (bits - 1)), (1 << (bits - 1)) - 1)
        return {"y": extended(kept, bits)[:bits]}

    def _chance(self, random: Any) -> Any:
        return Cat(Const(1, 1), random) if self.design.rest == "half" else random


TWIN = StochasticRounding
