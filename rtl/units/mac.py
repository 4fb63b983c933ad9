"""The twin of ``sim/units/mac.py``: multiplier, elastic pipeline, accumulator.

``stages - 1`` registers carry products (a synthesis tool may move them into the multiplier); the last
stage is the accumulator, which is also the output register.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal, Value

from siloom.rtl.elastic import Values, elastic, stretched
from siloom.rtl.twin import Twin
from siloom.sim.contract import fixed
from siloom.sim.units import mac


class Mac(Twin):
    """Multiply-accumulate of the size that ``design`` says."""

    def __init__(self, design: mac.Mac) -> None:
        """Take the promise for this size."""
        super().__init__(mac.contract(design))
        self.saturate = design.overflow == "saturate"

    def elaborate(self, platform: object) -> Module:
        """Products move up stage by stage into the sum."""
        m = Module()
        elastic(m, self, stretched([self._multiply, self._accumulate], fixed(self.contract.latency)))
        return m

    def _multiply(self, m: Module, given: Values, moves: Value) -> Values:
        product = given["a"] * given["b"]
        if not self.saturate:
            # What lies above the accumulator can never come back into it.
            product = product[: len(self.o.p.sum)].as_signed()
        return {"product": product, "clear": given["clear"], "last": given["last"]}

    def _accumulate(self, m: Module, given: Values, moves: Value) -> Values:
        # The output register is the accumulator: it keeps the sum of beats that give nothing, too.
        total = Mux(given["clear"], 0, self.o.p.sum) + given["product"]
        exact: Any = Signal(total.shape(), name="exact")
        m.d.comb += exact.eq(total)
        return {"sum": self._fit(exact), "gives": given["last"]}

    def _fit(self, exact: Any) -> Any:
        """The exact sum as the accumulator keeps it: its low bits, or the nearest end."""
        keep = self.o.p.sum.shape()
        if not self.saturate:
            return exact[: keep.width]
        above = exact[keep.width - 1 :]  # all equal to the sign, or the sum does not fit
        high = (1 << (keep.width - 1)) - 1
        end = Mux(exact[-1], Const(-high - 1, keep), Const(high, keep))
        return Mux(above.all() | ~above.any(), exact[: keep.width], end)


TWIN = Mac
