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
from siloom.rtl.spread import ADD, COMPARE, Step, spread
from siloom.rtl.twin import Twin
from siloom.sim.contract import FP32, fixed
from siloom.sim.units import reciprocal

_BITS = FP32.mantissa_bits + 1
_DIGITS = _BITS + 1
"""Those of the significand, and one before them, which only a power of two has."""


class Reciprocal(Twin):
    """One over a number, of the size that ``design`` says."""

    def __init__(self, design: reciprocal.Reciprocal) -> None:
        """Take the promise for this size."""
        super().__init__(reciprocal.contract(design))

    def elaborate(self, platform: object) -> Module:
        """Digits from the highest to the last, then the pattern."""
        m = Module()
        digits = [Step(partial(self._digit, at), ADD) for at in range(_DIGITS)]
        steps = [Step(self._unpack, 0), *digits, Step(self._round, COMPARE), Step(self._pack, ADD)]
        elastic(m, self, spread(steps, fixed(self.contract.latency)))
        return m

    def _unpack(self, m: Module, given: Values, moves: Value) -> Values:
        total = given["total"]
        field = total[FP32.mantissa_bits : -1]
        return {
            "divisor": total[: FP32.mantissa_bits],
            "rest": Const(1 << (FP32.mantissa_bits - 1), _BITS),
            "field": field,
            # There is no infinity: the exponent's field is zero for zero alone.
            "above": field.any() & ~total[-1],
            "quotient": Const(0, 0),
        }

    def _digit(self, at: int, m: Module, given: Values, moves: Value) -> Values:
        left, divisor = Cat(Const(0, 1), given["rest"]), Cat(given["divisor"], Const(1, 1))
        # The rest is below the divisor, so twice of it is below two divisors: one bit more tells the sign.
        less, fits = Signal(_BITS + 1, name=f"less{at}"), Signal(name=f"digit{at}")
        m.d.comb += [less.eq(left - divisor), fits.eq(~less[-1])]
        return {**given, "rest": Mux(fits, less[:_BITS], left[:_BITS]), "quotient": Cat(fits, given["quotient"])}

    def _round(self, m: Module, given: Values, moves: Value) -> Values:
        """The digit behind the last one."""
        up = Cat(Const(0, 1), given["rest"]) >= Cat(given["divisor"], Const(1, 1))
        return {name: given[name] for name in ("field", "above", "quotient")} | {"up": up}

    def _pack(self, m: Module, given: Values, moves: Value) -> Values:
        # The quotient's leading one stands for one of the field, or two of them where it is a power of two.
        field: Any = Const(2 * FP32.bias - 2, FP32.exponent_bits) - given["field"]
        pattern = Signal(FP32.bits)
        m.d.comb += pattern.eq(
            Cat(Const(0, FP32.mantissa_bits), field[: FP32.exponent_bits]) + given["quotient"] + given["up"]
        )
        return {"share": Mux(given["above"], pattern, 0)}


TWIN = Reciprocal
