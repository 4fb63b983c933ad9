"""The twin of ``sim/units/weighted_sum.py``: for every element a multiplier and an adder that rounds; one for weights.

A product is exact and gets a leading one before it meets its sum. The adders' loops are the last stage, and the output
register is the accumulator.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from amaranth.hdl import Const, Module, Mux, Value

from siloom.rtl.barrel import named
from siloom.rtl.elastic import Values, elastic
from siloom.rtl.float_sum import Logic, adder
from siloom.rtl.floats import Number, multiply, normalise, rescale, unpack
from siloom.rtl.lanes import lanes, side_by_side
from siloom.rtl.spread import ADD, MULTIPLY, SHIFT, Step, spread
from siloom.rtl.twin import Twin
from siloom.sim.contract import FP32, fixed
from siloom.sim.units import weighted_sum


class WeightedSum(Twin):
    """Weights times vectors, of the size that ``design`` says."""

    def __init__(self, design: weighted_sum.WeightedSum) -> None:
        """Take the promise for this size."""
        super().__init__(weighted_sum.contract(design))
        self.design = design

    def elaborate(self, platform: object) -> Module:
        """Products move up stage by stage into the loops of the sums."""
        m = Module()
        front = [Step(self._multiply, MULTIPLY), Step(self._normalise, ADD + SHIFT)]
        (first, depth), *others = adder(FP32, saturate=False)
        back = [Step(partial(self._meet, first), depth)]
        back += [Step(partial(_each, logic), depth) for logic, depth in others]
        back += [Step(self._together, 0)]
        latency = fixed(self.contract.latency)
        stages = [*spread(front, latency - 1), *spread(back, 1)] if latency > 1 else spread([*front, *back], 1)
        elastic(m, self, stages)
        return m

    def _multiply(self, m: Module, given: Values, moves: Value) -> Values:
        weight = unpack(m, given["weight"], self.design.weight)
        found: dict[str, Any] = {"clear": given["clear"], "last": given["last"], "weight": weight}
        for lane, value in enumerate(lanes(given["value"])):
            found[f"product{lane}"] = rescale(m, multiply(m, weight, _number(m, value)), FP32)
        return found

    def _normalise(self, m: Module, given: Values, moves: Value) -> Values:
        return {name: normalise(m, value) if name.startswith("product") else value for name, value in given.items()}

    def _meet(self, logic: Logic, m: Module, given: Values, moves: Value) -> Values:
        """The first part of the loops, which looks at the sums so far."""
        found: dict[str, Any] = {"last": given["last"]}

        def meet(so_far: Any, number: Number) -> Any:
            return logic(m, (unpack(m, Mux(given["clear"], 0, so_far), FP32), number))

        for lane, so_far in enumerate(lanes(self.o.p.sum)):
            found[f"sum{lane}"] = meet(so_far, given[f"product{lane}"])
        return {**found, "total": meet(self.o.p.total, given["weight"])}

    def _together(self, m: Module, given: Values, moves: Value) -> Values:
        sums = [given[f"sum{lane}"] for lane in range(self.design.dim)]
        return {
            "sum": side_by_side(m, "sums", FP32.bits, sums),
            "total": given["total"],
            "gives": given["last"],
        }


def _number(m: Module, value: Any) -> Number:
    """A whole number on the scale of a single."""
    size = named(m, Mux(value < 0, -value, value)[: len(value)], "size")
    exponent = Const(FP32.bias + len(value) - 1)
    return Number(size, exponent, value[-1], Const(0, 1), Const(0, 1), FP32.bias)


def _each(logic: Logic, m: Module, given: Values, moves: Value) -> Values:
    return {name: value if name == "last" else logic(m, value) for name, value in given.items()}


TWIN = WeightedSum
