"""The twin of ``sim/units/exp_float.py``: a constant multiplier, a table of mantissas, a limit at either end.

The score times the constant is a power of two: its whole part becomes the exponent's field, the first bits behind the
point look up the mantissa, and the bits behind those are not kept. What lies beyond either end is known from the whole
part beside the look-up, so that only a carry and a choice follow it.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Value

from siloom.rtl.elastic import Values, elastic
from siloom.rtl.shifts import extended, shifted_right
from siloom.rtl.spread import ADD, LOOK_UP, MULTIPLY, Step, spread
from siloom.rtl.table import look_up
from siloom.rtl.twin import Twin
from siloom.sim.contract import fixed
from siloom.sim.units import exp_float


class ExpFloat(Twin):
    """e to a score of the size that ``design`` says."""

    def __init__(self, design: exp_float.ExpFloat) -> None:
        """Take the promise for this size."""
        super().__init__(exp_float.contract(design))
        self.design = design

    def elaborate(self, platform: object) -> Module:
        """The power of two, its mantissa, the pattern within its limits."""
        m = Module()
        steps = [Step(self._scale, MULTIPLY), Step(self._split, LOOK_UP), Step(self._limit, ADD)]
        elastic(m, self, spread(steps, fixed(self.contract.latency)))
        return m

    def _scale(self, m: Module, given: Values, moves: Value) -> Values:
        design = self.design
        power = shifted_right(m, "product", given["score"] * design.scale, design.scale_bits - design.table_bits)
        # A small score's power has no bit of its own before the point, only its sign.
        return {"power": extended(power, design.table_bits + 1)}

    def _split(self, m: Module, given: Values, moves: Value) -> Values:
        design, form = self.design, self.design.form
        index, whole = given["power"][: design.table_bits], given["power"][design.table_bits :].as_signed()
        entries = exp_float.mantissa_table(design.table_bits, design.mantissa_bits).tolist()
        return {
            "mantissa": look_up(m, "mantissas", entries, design.mantissa_bits + 1, index),
            "field": (whole + form.bias)[: form.exponent_bits],
            "below": whole < 1 - form.bias,
            "above": whole > design.largest_exponent,
            "reaches_top": whole >= design.largest_exponent,
        }

    def _limit(self, m: Module, given: Values, moves: Value) -> Values:
        form = self.design.form
        # A mantissa that the table rounds up to two is a carry into the exponent.
        fraction, carry = given["mantissa"][: form.mantissa_bits], given["mantissa"][form.mantissa_bits]
        exponent = (given["field"] + carry)[: form.exponent_bits]
        beyond = given["above"] | given["reaches_top"] & carry
        largest = Const(self.design.largest, form.bits)
        return {"power": Mux(given["below"], 0, Mux(beyond, largest, Cat(fraction, exponent)))}


TWIN = ExpFloat
