"""The twin of ``sim/units/weighted_sum.py``: a lane with a multiplier and an adder for each element.

A product is exact and normalised before it meets its sum; the adder's loop is the last stage, and the sums in the lanes
are the output register. The weights have an adder of their own, and no multiplier.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value

from siloom.rtl.elastic import Stage, Values, carry, elastic
from siloom.rtl.floats import unpack
from siloom.rtl.lanes import lanes
from siloom.rtl.shared import place
from siloom.rtl.spread import Step, spread
from siloom.rtl.twin import Twin
from siloom.rtl.units.fp_mac import accumulate
from siloom.rtl.weighted_lane import WeightedLane, product_stages, weight_layout
from siloom.sim.contract import FP32, fixed
from siloom.sim.units import weighted_sum


class WeightedSum(Twin):
    """Weights times vectors, of the size that ``design`` says."""

    def __init__(self, design: weighted_sum.WeightedSum) -> None:
        """Take the promise for this size."""
        super().__init__(weighted_sum.contract(design))
        self.design = design

    def elaborate(self, platform: object) -> Module:
        """Weights and flags move up stage by stage, and all lanes with them."""
        m = Module()
        count, form = fixed(self.contract.latency), self.design.weight
        self.weight: Any = Signal(weight_layout(form))
        self.clear = Signal()
        moving = Signal(count)
        stages = product_stages(self._unpack, self._feed, carry, count - 1)
        stages = [*stages, self._add] if count > 1 else spread([Step(stages[0]), Step(self._add)], 1)
        elastic(m, self, [_watched(stage, moving[number]) for number, stage in enumerate(stages)])
        kind = f"weighted_lane_{self.design.value_bits}_{form.mantissa_bits}_{count}"
        for j, (value, total) in enumerate(zip(lanes(self.i.p.value), lanes(self.o.p.sum), strict=True)):
            lane = WeightedLane(form, self.design.value_bits, count)
            place(m, platform, lane, f"lane{j}", kind)
            m.d.comb += [
                lane.value.eq(value),
                lane.weight.eq(self.weight),
                lane.clear.eq(self.clear),
                lane.moves.eq(moving),
                total.eq(lane.sum),
            ]
        return m

    def _unpack(self, m: Module, given: Values, moves: Value) -> Values:
        weight = unpack(m, given["weight"], self.design.weight)
        return {"weight": weight, "clear": given["clear"], "last": given["last"]}

    def _feed(self, m: Module, given: Values, moves: Value) -> Values:
        """Show the lanes the weight that they multiply with in this stage."""
        m.d.comb += [self.weight[name].eq(getattr(given["weight"], name)) for name in self.weight.shape().members]
        return given

    def _add(self, m: Module, given: Values, moves: Value) -> Values:
        m.d.comb += self.clear.eq(given["clear"])
        before = Mux(given["clear"], 0, self.o.p.total)
        total = accumulate(m, before, given["weight"], FP32, saturate=False)
        return {"total": total, "gives": given["last"]}


def _watched(stage: Stage, moving: Value) -> Stage:
    """The same stage, which says on a wire when its beat moves on."""

    def watched(m: Module, given: Values, moves: Value) -> Values:
        m.d.comb += moving.eq(moves)
        return stage(m, given, moves)

    return watched


TWIN = WeightedSum
