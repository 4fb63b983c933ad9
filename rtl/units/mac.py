"""The twin of ``sim/units/mac.py``: multiplier, elastic pipeline, accumulator.

``stages - 1`` registers carry products (a synthesis tool may move them into the multiplier); the last
stage is the accumulator, which is also the output register. Every stage moves when the next has room,
so a bubble closes up while the output waits. ``ready`` passes through all stages in the same cycle.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import data

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
        factors, total = self.i.p, self.o.p.sum
        product = factors.a * factors.b
        if not self.saturate:
            # What lies above the accumulator can never come back into it.
            product = product[: len(total)].as_signed()
        shape = data.StructLayout({"product": product.shape(), "clear": 1, "last": 1})

        beat: Any = Signal(shape)
        m.d.comb += [beat.product.eq(product), beat.clear.eq(factors.clear), beat.last.eq(factors.last)]
        valid: Any = self.i.valid
        room: Any = self.i.ready
        for stage in range(1, fixed(self.contract.latency)):
            held: Any = Signal(shape, name=f"held{stage}", reset_less=True)
            full = Signal(name=f"full{stage}")
            onward = Signal(name=f"room{stage}")
            m.d.comb += room.eq(~full | onward)
            with m.If(room):
                m.d.sync += [held.eq(beat), full.eq(valid)]
            beat, valid, room = held, full, onward

        exact: Any = Signal((Mux(beat.clear, 0, total) + beat.product).shape(), name="exact")
        m.d.comb += [
            exact.eq(Mux(beat.clear, 0, total) + beat.product),
            room.eq(~self.o.valid | self.o.ready),
        ]
        with m.If(room):
            m.d.sync += self.o.valid.eq(valid & beat.last)
            with m.If(valid):
                m.d.sync += total.eq(self._fit(exact))
        return m

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
