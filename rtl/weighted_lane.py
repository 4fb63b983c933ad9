"""One element of a weighted sum: a multiplier of a weight and a whole number, and an accumulator of single precision.

A lane has the registers of its element alone. What is the same for all lanes, the weight and the pipeline's enables,
comes from outside: of a weight the number, in the stage that multiplies.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from siloom.rtl.barrel import named
from siloom.rtl.elastic import Stage, Values
from siloom.rtl.floats import Number, multiply, normalise, rescale
from siloom.rtl.hold import hold
from siloom.rtl.spread import ADD, MULTIPLY, SHIFT, Step, spread
from siloom.rtl.units.fp_mac import accumulate
from siloom.sim.contract import FP32, Float


def weight_layout(form: Float) -> data.StructLayout:
    """A weight out of its code, on the scale of its format."""
    flags = {"negative": 1, "infinite": 1, "nan": 1}
    return data.StructLayout({"significand": 1 + form.mantissa_bits, "exponent": form.exponent_bits, **flags})


def product_stages(before: Stage, during: Stage, after: Stage, count: int) -> list[Stage]:
    """The stages in front of that of the sum: what is done before, with and after the multiplication.

    If there is no stage in front, what is done goes into that of the sum.
    """
    return spread([Step(before), Step(during, MULTIPLY), Step(after, ADD + SHIFT)], max(count, 1))


class WeightedLane(wiring.Component):
    """An element's share of a pipeline of so many stages, of which the last is that of the sum.

    Attributes:
        value: In: the element, in the first stage.
        weight: In: in the stage that multiplies.
        clear: In: in the last stage; the sum starts with this product.
        moves: In: for each stage, whether its beat moves on.
        sum: Out: the accumulator, a register.
    """

    value: Signal
    weight: Any
    clear: Signal
    moves: Signal
    sum: Signal

    def __init__(self, form: Float, value_bits: int, stages: int) -> None:
        """Take the format of the weights, the bits of a value, and the stages."""
        self.form, self.stages = form, stages
        super().__init__(
            {
                "value": In(signed(value_bits)),
                "weight": In(weight_layout(form)),
                "clear": In(1),
                "moves": In(stages),
                "sum": Out(FP32.bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """The product moves up into the loop of the sum."""
        m = Module()
        values: Values = {"value": self.value}
        for number, stage in enumerate(product_stages(_whole, self._multiply, _normalise, self.stages - 1)):
            moves = self.moves[number]
            values = stage(m, values, moves)
            if self.stages > 1:
                values = {name: hold(m, value, f"{name}{number + 1}", moves) for name, value in values.items()}
        before = Mux(self.clear, 0, self.sum)
        with m.If(self.moves[-1]):
            m.d.sync += self.sum.eq(accumulate(m, before, values["value"], FP32, saturate=False))
        return m

    def _multiply(self, m: Module, given: Values, moves: Value) -> Values:
        fields = {name: self.weight[name] for name in self.weight.shape().members}
        weight = Number(**fields, bias=self.form.bias)
        return {"value": rescale(m, multiply(m, weight, given["value"]), FP32)}


def _whole(m: Module, given: Values, moves: Value) -> Values:
    """The size and sign of a signed whole number."""
    value = given["value"]
    size = named(m, Mux(value[-1], -value, value)[: len(value)], "size")
    zero = Const(0, 1)
    return {"value": Number(size, zero, value[-1], zero, zero, bias=1 - len(value))}


def _normalise(m: Module, given: Values, moves: Value) -> Values:
    return {"value": normalise(m, given["value"])}
