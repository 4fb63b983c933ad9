"""The twin of ``sim/units/fp_mac.py``: an exact multiplier in front of an adder that rounds once a step.

The product is normalised before it meets the sum, so the adder's loop holds no more than a comparison
of exponents, a shift, an addition, a shift and the rounding. With ``add_cycles`` of one the loop is the last stage,
and the output register is the accumulator. With more, a beat comes only every so many cycles, the loop is cut by
registers, and the accumulator stands beside the output's queue.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value

from siloom.rtl.elastic import Stage, Values
from siloom.rtl.float_sum import Logic, adder
from siloom.rtl.floats import Number, multiply, normalise, rescale, unpack
from siloom.rtl.paced import pipeline
from siloom.rtl.spread import ADD, MULTIPLY, SHIFT, Step, spread
from siloom.rtl.twin import Twin
from siloom.sim.contract import Float, fixed
from siloom.sim.units import fp_mac


def exact_product(m: Module, a: Any, b: Any, a_form: Float, b_form: Float, form: Float) -> Number:
    """The product of two codes, as :func:`accumulate` takes it."""
    return normalise(m, rescale(m, multiply(m, unpack(m, a, a_form), unpack(m, b, b_form)), form))


def accumulate(m: Module, total: Any, product: Number, form: Float, saturate: bool) -> Any:
    """The code of a sum's code and a product, rounded once."""
    value: Any = (unpack(m, total, form), product)
    for logic, _ in adder(form, saturate):
        value = logic(m, value)
    return value


def fp_mac_step(
    m: Module, total: Any, a: Any, b: Any, a_form: Float, b_form: Float, form: Float, saturate: bool
) -> Any:
    """The code of ``total + a * b`` for codes of three formats, as combinational logic."""
    return accumulate(m, total, exact_product(m, a, b, a_form, b_form, form), form, saturate)


class FpMac(Twin):
    """Floating-point multiply-accumulate of the size that ``design`` says."""

    def __init__(self, design: fp_mac.FpMac) -> None:
        """Take the promise for this size."""
        super().__init__(fp_mac.contract(design))
        self.design = design

    def elaborate(self, platform: object) -> Module:
        """Products move up stage by stage into the loop of the sum."""
        m = Module()
        interval, latency = fixed(self.contract.interval), fixed(self.contract.latency)
        loop = min(interval, latency)
        form = self.design.accumulator
        # A loop of one stage is read and written in the same cycle: the output register itself.
        self.total: Any = self.o.p.sum if interval == 1 else Signal(form.bits, name="total")
        front = [Step(self._unpack), Step(self._multiply, MULTIPLY), Step(self._normalise, ADD + SHIFT)]
        (first, first_depth), *middle, (last, last_depth) = adder(form, self.design.saturate)
        back = [
            Step(self._meet(first), first_depth),
            *[Step(_onward(logic), depth) for logic, depth in middle],
            Step(self._keep(last), last_depth),
        ]
        if latency > loop:
            stages = [*spread(front, latency - loop), *spread(back, loop)]
        else:
            stages = spread([*front, *back], loop)
        pipeline(m, self, stages)
        return m

    def _unpack(self, m: Module, given: Values, moves: Value) -> Values:
        a, b = unpack(m, given["a"], self.design.a), unpack(m, given["b"], self.design.b)
        return {**given, "a": a, "b": b}

    def _multiply(self, m: Module, given: Values, moves: Value) -> Values:
        product = rescale(m, multiply(m, given["a"], given["b"]), self.design.accumulator)
        return {"product": product, "clear": given["clear"], "last": given["last"]}

    def _normalise(self, m: Module, given: Values, moves: Value) -> Values:
        return {**given, "product": normalise(m, given["product"])}

    def _meet(self, logic: Logic) -> Stage:
        """The first step of the loop, which looks at the sum so far."""

        def stage(m: Module, given: Values, moves: Value) -> Values:
            total = unpack(m, Mux(given["clear"], 0, self.total), self.design.accumulator)
            return {"sum": logic(m, (total, given["product"])), "last": given["last"]}

        return stage

    def _keep(self, logic: Logic) -> Stage:
        """The last step of the loop, which keeps the sum."""

        def stage(m: Module, given: Values, moves: Value) -> Values:
            code = logic(m, given["sum"])
            if self.total is not self.o.p.sum:
                with m.If(moves):
                    m.d.sync += self.total.eq(code)
            return {"sum": code, "gives": given["last"]}

        return stage


def _onward(logic: Logic) -> Stage:
    return lambda m, given, moves: {**given, "sum": logic(m, given["sum"])}


TWIN = FpMac
