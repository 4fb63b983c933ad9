"""The twin of ``sim/units/weighted_sum.py``: for every element a multiplier and an adder that rounds.

A product is exact and gets a leading one before it meets its sum. The adder's loop is a lane's last stage, and its
output register is the accumulator. The weights themselves are summed by one more lane, whose value is always one.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from amaranth.hdl import Const, Module, Mux, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from siloom.rtl.barrel import named
from siloom.rtl.elastic import Values, elastic
from siloom.rtl.float_sum import Logic, adder
from siloom.rtl.floats import Number, multiply, normalise, rescale, unpack
from siloom.rtl.lanes import lanes
from siloom.rtl.lockstep import lockstep
from siloom.rtl.spread import ADD, MULTIPLY, SHIFT, Step, spread
from siloom.rtl.twin import Twin
from siloom.sim.contract import FP32
from siloom.sim.units import weighted_sum


class Lane(wiring.Component):
    """One sum of weighted values.

    Attributes:
        i: A weight, a value, and whether the sum starts with them or is sent out with them.
        o: The sum.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, design: weighted_sum.WeightedSum) -> None:
        self.design = design
        term = {"weight": unsigned(design.weight.bits), "value": signed(design.value_bits), "clear": 1, "last": 1}
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout(term))),
                "o": Out(stream.Signature(data.StructLayout({"sum": FP32.bits}))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Products move up stage by stage into the loop of the sum."""
        m = Module()
        front = [Step(self._multiply, MULTIPLY), Step(_normalise, ADD + SHIFT)]
        (first, depth), *middle, (last, last_depth) = adder(FP32, saturate=False)
        back = [Step(partial(self._meet, first), depth)]
        back += [Step(partial(_onward, logic), depth) for logic, depth in middle]
        back += [Step(partial(_keep, last), last_depth)]
        stages = self.design.stages
        elastic(m, self, [*spread(front, stages - 1), *spread(back, 1)] if stages > 1 else spread([*front, *back], 1))
        return m

    def _multiply(self, m: Module, given: Values, moves: Value) -> Values:
        weight, value = unpack(m, given["weight"], self.design.weight), _number(m, given["value"])
        product = rescale(m, multiply(m, weight, value), FP32)
        return {"product": product, "clear": given["clear"], "last": given["last"]}

    def _meet(self, logic: Logic, m: Module, given: Values, moves: Value) -> Values:
        """The first part of the loop, which looks at the sum so far."""
        so_far = unpack(m, Mux(given["clear"], 0, self.o.p.sum), FP32)
        return {"sum": logic(m, (so_far, given["product"])), "last": given["last"]}


class WeightedSum(Twin):
    """Weights times vectors, of the size that ``design`` says."""

    def __init__(self, design: weighted_sum.WeightedSum) -> None:
        """Take the promise for this size."""
        super().__init__(weighted_sum.contract(design))
        self.design = design

    def elaborate(self, platform: object) -> Module:
        """A lane for each element, and one for the weights."""
        m = Module()
        design = self.design
        values = [*lanes(self.i.p.value), Const(1, signed(design.value_bits))]
        sums = [*lanes(self.o.p.sum), self.o.p.total]
        parts = {f"lane{number}": Lane(design) for number in range(len(sums))}
        size = f"{design.value_bits}_{design.mantissa_bits}_{design.stages}"
        lockstep(m, platform, self, parts, f"weighted_sum_lane_{size}")
        for lane, value, total in zip(parts.values(), values, sums, strict=True):
            m.d.comb += [
                lane.i.p.weight.eq(self.i.p.weight),
                lane.i.p.value.eq(value),
                lane.i.p.clear.eq(self.i.p.clear),
                lane.i.p.last.eq(self.i.p.last),
                total.eq(lane.o.p.sum),
            ]
        return m


def _number(m: Module, value: Any) -> Number:
    """A whole number on the scale of a single."""
    size = named(m, Mux(value < 0, -value, value)[: len(value)], "size")
    exponent = Const(FP32.bias + len(value) - 1)
    return Number(size, exponent, value[-1], Const(0, 1), Const(0, 1), FP32.bias)


def _normalise(m: Module, given: Values, moves: Value) -> Values:
    return {**given, "product": normalise(m, given["product"])}


def _onward(logic: Logic, m: Module, given: Values, moves: Value) -> Values:
    return {**given, "sum": logic(m, given["sum"])}


def _keep(logic: Logic, m: Module, given: Values, moves: Value) -> Values:
    return {"sum": logic(m, given["sum"]), "gives": given["last"]}


TWIN = WeightedSum
