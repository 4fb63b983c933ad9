"""Behind a row of the array: sums are divided by the sum of weights, one a cycle, a digit a stage.

The stages move with the array. What comes out is rounded to even and held at the ends of the values' format, waits in
a queue of two while nobody takes it, and stops the array when that is full.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from siloom.rtl.divider import next_left, rounded
from siloom.rtl.hold import hold
from siloom.rtl.machines._flash_shapes import FlashShapes
from siloom.rtl.passing import Passing
from siloom.rtl.rounding import clamp
from siloom.rtl.shifts import extended
from siloom.sim.contract import Whole


class Divide(Component):
    """Means of one row.

    Attributes:
        run: In: whether the array moves.
        comes: In: whether a sum leaves the array.
        sum: In: the sum.
        weight: In: the sum of weights.
        room: Out: whether the array may move.
        o: Stream out: means.
    """

    run: Any
    comes: Any
    sum: Any
    weight: Any
    room: Any
    o: Any

    def __init__(self, size: FlashShapes) -> None:
        """Make the ports."""
        self.size = size
        super().__init__(
            {
                "run": In(1),
                "comes": In(1),
                "sum": In(size.sum),
                "weight": In(size.weight_bits),
                "room": Out(1),
                "o": Out(stream.Signature(size.element)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """As many stages as digits, and one that rounds."""
        m = Module()
        size, digits = self.size, self.size.value_bits
        wide = Signal(size.weight_bits + 1 + digits, name="dividend")
        m.d.comb += wide.eq(extended(self.sum, len(wide)))
        left: Any = wide[digits:].as_signed()
        rest, by = wide[:digits], self.weight
        signs: list[Any] = []
        for number in range(digits):
            signs = [~left[-1] if number else left[-1], *signs]
            found = next_left(m, f"after{number}", left, by, rest[-1])
            left = hold(m, found, f"left{number}", self.run)
            by = hold(m, by, f"by{number}", self.run)
            signs = list(hold(m, Cat(signs), f"signs{number}", self.run))
            rest = hold(m, rest[:-1], f"rest{number}", self.run) if number < digits - 1 else rest
        beyond = next_left(m, "beyond", left, by, Const(0, 1))
        quotient: Any = Signal(size.value_bits + 1, name="quotient")
        m.d.comb += quotient.eq(Mux(by.any(), rounded(left, beyond, Cat(signs)), 0))
        value = Whole(size.value_bits)
        mean = hold(m, clamp(quotient.as_signed(), value.low, value.high), "mean", self.run)
        coming = Signal(digits + 1, name="coming")
        m.submodules.queue = queue = Passing(size.element)
        with m.If(self.run):
            m.d.sync += coming.eq(Cat(self.comes, coming))
        m.d.comb += [
            queue.comes.eq(self.run & coming[-1]),
            queue.i.eq(mean),
            self.room.eq(queue.room),
            self.o.valid.eq(queue.o.valid),
            self.o.payload.eq(queue.o.payload),
            queue.o.ready.eq(self.o.ready),
        ]
        return m
