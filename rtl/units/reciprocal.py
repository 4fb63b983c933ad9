"""The twin of ``sim/units/reciprocal.py``: a division of a constant, digit by digit, unrolled over the stages.

The dividend is a power of two, so nothing of it is ever brought down: each digit subtracts the significand from what
is left, where it fits, and doubles the rest. The digit behind the last one says which way to round, for there are no
ties. The leading digit is one for a power of two alone, whose quotient then carries into the exponent's field.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from siloom.rtl.elastic import Values, elastic
from siloom.rtl.spread import ADD, Step, spread
from siloom.rtl.twin import Twin
from siloom.sim.contract import FP32, fixed
from siloom.sim.units import reciprocal

_BITS = FP32.mantissa_bits + 1
_DIGITS = _BITS + 2
"""One before those of the significand, which only a power of two has, and one behind them to round by."""


class Reciprocal(Twin):
    """One over a number, of the size that ``design`` says."""

    def __init__(self, design: reciprocal.Reciprocal) -> None:
        """Take the promise for this size."""
        super().__init__(reciprocal.contract(design))

    def elaborate(self, platform: object) -> Module:
        """Digits from the highest to the last, then the pattern."""
        m = Module()
        digits = [Step(partial(self._digit, at), ADD) for at in range(_DIGITS)]
        steps = [Step(self._unpack, 0), *digits, Step(self._pack, ADD)]
        elastic(m, self, spread(steps, fixed(self.contract.latency)))
        return m

    def _unpack(self, m: Module, given: Values, moves: Value) -> Values:
        total = given["total"]
        # Without a sign and no infinity: the exponent's field is zero for zero alone.
        field = total[FP32.mantissa_bits : -1]
        return {
            "divisor": total[: FP32.mantissa_bits],
            "left": Const(1 << FP32.mantissa_bits, _BITS + 1),
            "field": field,
            "quotient": Const(0, 0),
        }

    def _digit(self, at: int, m: Module, given: Values, moves: Value) -> Values:
        divisor = Cat(given["divisor"], Const(1, 1))
        less, fits = Signal(_BITS + 2, name=f"less{at}"), Signal(name=f"digit{at}")
        m.d.comb += [less.eq(given["left"] - divisor), fits.eq(~less[-1])]
        rest = Mux(fits, less[:_BITS], given["left"][:_BITS])
        return {**given, "left": Cat(Const(0, 1), rest), "quotient": Cat(fits, given["quotient"])}

    def _pack(self, m: Module, given: Values, moves: Value) -> Values:
        up, quotient = given["quotient"][0], given["quotient"][1:]
        # The quotient's leading one stands for one of the field, or two of them where it is a power of two.
        field: Any = Const(2 * FP32.bias - 2, FP32.exponent_bits) - given["field"]
        pattern = Signal(FP32.bits)
        m.d.comb += pattern.eq(Cat(Const(0, FP32.mantissa_bits), field[: FP32.exponent_bits]) + quotient + up)
        return {"share": Mux(given["field"].any(), pattern, 0)}


TWIN = Reciprocal
