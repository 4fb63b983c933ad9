"""The twin of ``sim/units/score_scale.py``: two multipliers, a right shifter in levels, an increment, a range.

The shifter carries one bit behind the point, for the half, and remembers whether any bit that it dropped was set:
that is all that rounding half to even needs.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from siloom.rtl.elastic import Stage, Values, elastic
from siloom.rtl.rounding import clamp
from siloom.rtl.shifts import low_unread
from siloom.rtl.spread import ADD, COMPARE, MULTIPLY, SHIFT, Step, spread
from siloom.rtl.twin import Twin
from siloom.sim.contract import fixed
from siloom.sim.units import score_scale

EXACT = low_unread("exact")
"""The product on its way: where the next step has dropped its lowest bits, nobody reads them."""


class ScoreScale(Twin):
    """A product brought to a score of the size that ``design`` says."""

    def __init__(self, design: score_scale.ScoreScale) -> None:
        """Take the promise for this size."""
        super().__init__(score_scale.contract(design))
        self.design = design

    def elaborate(self, platform: object) -> Module:
        """The exact product, its point moved, the nearest whole number, the range."""
        m = Module()
        levels = [Step(self._level(place), SHIFT) for place in range(self.design.shifted.bits)]
        steps = [Step(self._by_row, MULTIPLY), Step(self._by_key, MULTIPLY), *levels, Step(self._round, ADD),
                 Step(self._clamp, COMPARE)]  # fmt: skip
        elastic(m, self, spread(steps, fixed(self.contract.latency)))
        return m

    def _by_row(self, m: Module, given: Values, moves: Value) -> Values:
        return {"scaled": given["product"] * given["row"], "key": given["key"], "shift": given["shift"]}

    def _by_key(self, m: Module, given: Values, moves: Value) -> Values:
        product = given["scaled"] * given["key"]
        wire: Any = Signal(product.shape(), name="product")
        m.d.comb += wire.eq(product)
        exact: Any = Cat(Const(0, 1), wire).as_signed()
        return {EXACT: exact, "dropped": Const(0, 1), "shift": given["shift"]}

    def _level(self, place: int) -> Stage:
        def stage(m: Module, given: Values, moves: Value) -> Values:
            here, by = given[EXACT], 1 << place
            kept = min(by, len(here) - 1)
            moved = Cat(here[kept:-1], here[-1].replicate(kept))  # but for the sign, which stays
            move = given["shift"][place]
            return {
                EXACT: Cat(Mux(move, moved, here[:-1]), here[-1]).as_signed(),
                "dropped": given["dropped"] | (move & here[:kept].any()),
                "shift": given["shift"],
            }

        return stage

    def _round(self, m: Module, given: Values, moves: Value) -> Values:
        half, whole = given[EXACT][0], given[EXACT][1:].as_signed()
        up = half & (given["dropped"] | whole[0])
        nearest: Any = Signal((whole + up).shape(), name="nearest")
        m.d.comb += nearest.eq(whole + up)
        return {"nearest": nearest}

    def _clamp(self, m: Module, given: Values, moves: Value) -> Values:
        form = self.design.score
        return {"score": clamp(given["nearest"], form.low, form.high)}


TWIN = ScoreScale
