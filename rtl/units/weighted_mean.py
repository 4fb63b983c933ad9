"""The twin of ``sim/units/weighted_mean.py``: a multiplier, an accumulator and a divider for every element.

Sums stay in their accumulators while they are divided, because the next vector may go on with them. Where dividing one
digit a cycle leaves cycles over, the first of them is the multipliers': their products have a register.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value, signed, unsigned

from siloom.rtl.divider import Dividers
from siloom.rtl.elastic import Values
from siloom.rtl.flow import flow
from siloom.rtl.lanes import lanes, running_sums, side_by_side
from siloom.rtl.spread import ADD, MULTIPLY, Step, spread
from siloom.rtl.twin import Twin
from siloom.sim.units import weighted_mean


class WeightedMean(Twin):
    """Means of the size that ``design`` says."""

    def __init__(self, design: weighted_mean.WeightedMean) -> None:
        """Take the promise for this size."""
        super().__init__(weighted_mean.contract(design))
        self.design = design
        self.total_bits = design.weight_bits + (design.most_beats - 1).bit_length()
        # A mean lies within its values: all digits but the sign.
        self.digits = design.value_bits - 1
        self.sum = signed(self.total_bits + design.value_bits)

    def elaborate(self, platform: object) -> Module:
        """Products go into the sums; after a row's last the sums go into the dividers, and nothing is taken."""
        m = Module()
        steps = [Step(self._multiply, MULTIPLY), Step(self._add, ADD)]
        spare = self.design.divide_cycles - self.digits - 1  # rounding is one more
        stages = spread(steps, min(max(1, spare), len(steps)))
        busy, takes, leaves = Signal(), Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(~busy | leaves),
            takes.eq(self.i.valid & self.i.ready),
            leaves.eq(self.o.valid & self.o.ready),
        ]
        given = {name: getattr(self.i.p, name) for name in self.i.p.shape().members}
        found, moves = flow(m, given, takes, stages)
        dividers = Dividers(self.total_bits, self.digits, self.design.divide_cycles - len(stages))
        done, means = dividers.divide(m, moves & found["last"], lanes(found["sum"]), found["total"])
        m.d.comb += Value.cast(self.o.p.mean).eq(Cat(means))
        with m.If(leaves):
            m.d.sync += [busy.eq(0), self.o.valid.eq(0)]
        with m.If(takes & self.i.p.last):
            m.d.sync += busy.eq(1)
        with m.If(done):
            m.d.sync += self.o.valid.eq(1)
        return m

    def _multiply(self, m: Module, given: Values, moves: Value) -> Values:
        bits = self.design.weight_bits + self.design.value_bits
        products = [given["weight"] * value for value in lanes(given["value"])]
        kept = {name: given[name] for name in ("weight", "clear", "last")}
        return {**kept, "product": side_by_side(m, "products", signed(bits), products)}

    def _add(self, m: Module, given: Values, moves: Value) -> Values:
        clear, weight = given["clear"], unsigned(self.total_bits)
        return {
            "sum": running_sums(m, "sums", self.sum, lanes(given["product"]), clear, moves),
            "total": running_sums(m, "weights", weight, [given["weight"]], clear, moves),
            "last": given["last"],
        }


TWIN = WeightedMean
