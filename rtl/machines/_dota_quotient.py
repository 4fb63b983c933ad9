"""A pipelined divider: of a power and its row's sum the weight, four digits a stage, in six cycles."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib.wiring import Component, In, Out

from siloom.rtl.long_division import digits, rounded_half_even
from siloom.rtl.machines._dota_size import DotaSize

STAGES = 4


class Quotient(Component):
    """One lane.

    Attributes:
        power, total: In: the power is at most the total.
        weight: Out: their quotient with all bits behind the point, to nearest, ties to even, less than 1.
    """

    power: Any
    total: Any
    weight: Any

    def __init__(self, size: DotaSize) -> None:
        self.size = size
        super().__init__({"power": In(size.power_bits), "total": In(size.total_bits), "weight": Out(size.weight_bits)})

    def elaborate(self, platform: object) -> Module:
        """Registers before, between and behind the digits."""
        m = Module()
        places = self.size.weight_bits
        count = -(-(places + 1) // STAGES)  # digits a stage
        width = self.size.total_bits + places + 1
        power: Any = Signal(self.size.power_bits)
        divisor: Any = Signal(self.size.total_bits, name="divisor0")
        quotient: Any = Const(0, 0)
        m.d.sync += [power.eq(self.power), divisor.eq(self.total)]
        remainder: Any = Cat(Const(0, places), power, Const(0, width - places - len(power)))
        left = places + 1
        for stage in range(1, STAGES + 1):
            now = min(count, left)
            left -= now
            rest, found = digits(m, f"stage{stage}", remainder, divisor, places, now) if now else (remainder, None)
            new = [
                Signal(width, name=f"remainder{stage}"),
                Signal(self.size.total_bits, name=f"divisor{stage}"),
                Signal(len(quotient) + now, name=f"quotient{stage}"),
            ]
            whole = quotient if found is None else Cat(found, quotient)
            m.d.sync += [after.eq(before) for before, after in zip((rest, divisor, whole), new, strict=True)]
            remainder, divisor, quotient = new
        nearest: Any = Signal(places + 2)
        m.d.comb += nearest.eq(rounded_half_even(m, "weight", remainder, divisor, places, quotient))
        m.d.sync += self.weight.eq(Mux(nearest[places:].any(), (1 << places) - 1, nearest))
        return m
