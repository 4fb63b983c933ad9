"""The twin of ``sim/units/weighted_mean.py``: a multiplier, a sum and a divider for every element of the vector.

A sum is made positive when its division begins, for digits that shift and subtract, and gets its sign back behind
the rounding. As many digits are found in a cycle as ``divide_cycles`` asks for, of all elements together.
With a single cycle there is no state between: the quotient comes straight out of the last beat.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed

from siloom.rtl.divider import digits, rounded_half_even
from siloom.rtl.lanes import lanes
from siloom.rtl.twin import Twin
from siloom.sim.units import weighted_mean


class WeightedMean(Twin):
    """A weighted mean of the size that ``design`` says."""

    def __init__(self, design: weighted_mean.WeightedMean) -> None:
        """Take the promise for this size."""
        super().__init__(weighted_mean.contract(design))
        self.design = design
        self.cycles = design.divide_cycles - 1  # between the register of a sum and that of its mean
        self.at_once = -(-design.value_bits // max(self.cycles, 1))
        self.rounds = -(-design.value_bits // self.at_once)
        self.total_bits = design.weight_bits + (design.most_beats - 1).bit_length()
        self.sum_bits = self.total_bits + design.value_bits

    def elaborate(self, platform: object) -> Module:
        """Sums, then digits, then the mean on the output."""
        m = Module()
        left: Any = Signal(range(self.cycles + 1))  # cycles of the division that are still to come
        takes: Any = Signal()
        total, new_total = Signal(self.total_bits), Signal(self.total_bits)
        m.d.comb += [
            self.i.ready.eq((left == 0) & (~self.o.valid | self.o.ready)),
            takes.eq(self.i.valid & self.i.ready),
            new_total.eq(Mux(self.i.p.clear, 0, total) + self.i.p.weight),
        ]
        ends: Any = left == 1 if self.cycles else takes & self.i.p.last
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(takes):
            m.d.sync += total.eq(new_total)
        if self.cycles:
            with m.If(takes & self.i.p.last):
                m.d.sync += left.eq(self.cycles)
            with m.Elif(left != 0):
                m.d.sync += left.eq(left - 1)
        by = total if self.cycles else new_total
        means = [
            Mux(by == 0, 0, self._divide(m, f"lane{k}", left, self._sum(m, f"lane{k}", takes, value), by))[
                : self.design.value_bits
            ]
            for k, value in enumerate(lanes(self.i.p.value))
        ]
        with m.If(ends):
            m.d.sync += [self.o.valid.eq(1), Value.cast(self.o.payload).eq(Cat(means))]
        return m

    def _sum(self, m: Module, name: str, takes: Value, value: Any) -> Any:
        """What is divided: the sum with this beat where there is a single cycle, else the register of the sum."""
        held: Any = Signal(signed(self.sum_bits), name=f"{name}_sum")
        new: Any = Signal(signed(self.sum_bits), name=f"{name}_new_sum")
        m.d.comb += new.eq(Mux(self.i.p.clear, 0, held) + self.i.p.weight * value)
        with m.If(takes):
            m.d.sync += held.eq(new)
        return held if self.cycles else new

    def _divide(self, m: Module, name: str, left: Value, dividend: Any, by: Value) -> Any:
        """The mean that is ready in the last cycle of the division."""
        count = self.at_once * self.rounds
        positive: Any = Signal(self.sum_bits, name=f"{name}_positive")
        m.d.comb += positive.eq(Mux(dividend < 0, -dividend, dividend))
        if not self.cycles:
            remainder, quotient = digits(m, name, positive, by, count - 1, count)
        else:
            held: Any = Signal(self.total_bits + count, name=f"{name}_held")
            found: Any = Signal(count, name=f"{name}_found")
            start = Mux(left == self.cycles, positive, held)
            remainder, new = digits(m, name, start, by, count - 1, self.at_once)
            quotient = Cat(new, found)[:count]
            with m.If(left > self.cycles - self.rounds):
                m.d.sync += [held.eq(remainder), found.eq(quotient)]
            if self.rounds < self.cycles:  # the rounding has a cycle of its own
                remainder, quotient = held, found
        size: Any = Signal(self.design.value_bits, name=f"{name}_size")
        m.d.comb += size.eq(rounded_half_even(m, name, remainder, by, count - 1, quotient))
        mean = Mux(by == 0, 0, Mux(dividend < 0, -size, size))
        return mean[: self.design.value_bits]


TWIN = WeightedMean
