"""The twin of ``sim/units/exp_float.py``: a constant multiplier, a table of mantissas, a limit at either end.

The score times the constant is a power of two: its whole part becomes the exponent's field, the first bits behind the
point look up the mantissa. Only what decides both is kept of the product, cut before the first register behind it.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed

from siloom.rtl.elastic import Values, elastic
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
        steps = [Step(self._scale, MULTIPLY), Step(self._mantissa, LOOK_UP), Step(self._limit, ADD)]
        elastic(m, self, spread(steps, fixed(self.contract.latency)))
        return m

    def _scale(self, m: Module, given: Values, moves: Value) -> Values:
        design = self.design
        # Wide enough that there is a whole part, of a small score too.
        exact = given["score"] * design.scale
        # The name tells Verilator that some bits are not read: those behind the table's index.
        power: Any = Signal(exact.shape(), name="power_lowest_unused")
        m.d.comb += power.eq(exact)
        return {"power": power[design.scale_bits - design.table_bits :].as_signed()}

    def _mantissa(self, m: Module, given: Values, moves: Value) -> Values:
        design = self.design
        entries = exp_float.mantissa_table(design.table_bits, design.mantissa_bits).tolist()
        index, whole = given["power"][: design.table_bits], given["power"][design.table_bits :].as_signed()
        return {"mantissa": look_up(m, "mantissas", entries, design.mantissa_bits + 1, index), "whole": whole}

    def _limit(self, m: Module, given: Values, moves: Value) -> Values: ...


TWIN = ExpFloat
