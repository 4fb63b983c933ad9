"""Division: a head's sums, word by word, by their weights' sums. All lanes of a word go through one rigid pipeline."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, signed
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from siloom.models._sanger_units import DIGITS_AT_ONCE
from siloom.rtl.long_division import digits, rounded_half_even
from siloom.rtl.machines._sanger_layouts import head_layout, mean_layout
from siloom.rtl.machines._sanger_size import SangerSize
from siloom.rtl.shared import place


class Lane(Component):
    """A pipelined divider.

    Attributes:
        run: In: all stages move.
        dividend, divisor: In: a sum and its weights' sum.
        mean: Out: to the nearest whole number, ties to even; zero where the divisor is.
    """

    run: Any
    dividend: Any
    divisor: Any
    mean: Any

    def __init__(self, size: SangerSize) -> None:
        self.size = size
        self.stages = -(-size.design.operand_bits // DIGITS_AT_ONCE)
        super().__init__(
            {
                "run": In(1),
                "dividend": In(signed(size.sum_bits)),
                "divisor": In(size.total_bits),
                "mean": Out(signed(size.design.operand_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Sign, digits, rounding."""
        m = Module()
        size = self.size
        count = self.stages * DIGITS_AT_ONCE
        width = size.total_bits + count
        positive: Any = Signal(size.sum_bits)
        m.d.comb += positive.eq(Mux(self.dividend < 0, -self.dividend, self.dividend))
        remainder: Any = Signal(width, name="held0")
        divisor: Any = Signal(size.total_bits, name="divisor0")
        negative: Any = Signal(name="negative0")
        quotient: Any = Signal(0)
        with m.If(self.run):
            m.d.sync += [remainder.eq(positive), divisor.eq(self.divisor), negative.eq(self.dividend < 0)]
        for stage in range(1, self.stages + 1):
            rest, found = digits(m, f"stage{stage}", remainder, divisor, count - 1, DIGITS_AT_ONCE)
            new = [
                Signal(width, name=f"held{stage}"),
                Signal(size.total_bits, name=f"divisor{stage}"),
                Signal(name=f"negative{stage}"),
                Signal(len(quotient) + DIGITS_AT_ONCE, name=f"quotient{stage}"),
            ]
            with m.If(self.run):
                old = (rest, divisor, negative, Cat(found, quotient))
                m.d.sync += [after.eq(before) for before, after in zip(old, new, strict=True)]
            remainder, divisor, negative, quotient = new
        magnitude: Any = Signal(size.design.operand_bits)
        m.d.comb += magnitude.eq(rounded_half_even(m, "mean", remainder, divisor, count - 1, quotient))
        with m.If(self.run):
            m.d.sync += self.mean.eq(Mux(divisor == 0, 0, Mux(negative, -magnitude, magnitude)))
        return m


class Divide(Elaboratable):
    """Walks over a head's sums.

    Attributes:
        begin: In: a head comes; only when ``free``.
        free: No head is left behind this cycle; ``ends``: the last sum of one is read in this cycle.
        read, half, word, query: What is read; ``sums`` and ``total`` are there a cycle later, and stay unless ``read``.
        o: Stream out: means, word by word.
    """

    def __init__(self, size: SangerSize, sums: Any, total: Any) -> None:
        self.size, self.sums, self.total = size, sums, total
        self.begin: Any = Signal()
        self.head: Any = Signal(head_layout(size))
        self.free: Any = Signal()
        self.ends: Any = Signal()
        self.read: Any = Signal()
        self.half: Any = Signal()
        self.word: Any = Signal(size.word_bits)
        self.query: Any = Signal(size.query_bits)
        self.o: Any = stream.Signature(mean_layout(size)).create()

    def elaborate(self, platform: object) -> Module:
        """One enable for everything."""
        m = Module()
        size = self.size
        runs, go, end_word = Signal(), Signal(), Signal()
        head: Any = Signal(head_layout(size))
        chunk: Any = Signal(size.element_bits)
        m.d.comb += [
            go.eq(~self.o.valid | self.o.ready),
            self.read.eq(go),
            end_word.eq(chunk + 1 == head.dim[size.row_bits :]),
            self.ends.eq(runs & go & end_word & (self.query + 1 == head.seq)),
            self.free.eq(~runs | self.ends),
        ]
        with m.If(runs & go):
            m.d.sync += [self.word.eq(self.word + 1), chunk.eq(chunk + 1)]
            with m.If(end_word):
                m.d.sync += [chunk.eq(0), self.query.eq(self.query + 1)]
        with m.If(self.ends):
            m.d.sync += runs.eq(0)
        with m.If(self.begin):
            m.d.sync += [
                runs.eq(1), head.eq(self.head), self.half.eq(~self.half),
                self.word.eq(0), chunk.eq(0), self.query.eq(0),
            ]  # fmt: skip
        lanes = []
        for k in range(size.rows):
            lane: Any = Lane(size)
            place(m, platform, lane, f"lane{k}", "sanger_divider")
            m.d.comb += [
                lane.run.eq(go),
                lane.dividend.eq(self.sums[k]),
                lane.divisor.eq(self.total),
                self.o.payload[k].eq(lane.mean),
            ]
            lanes.append(lane)
        valid: Any = runs
        for number in range(lanes[0].stages + 2):
            held: Any = Signal(name=f"full{number}")
            with m.If(go):
                m.d.sync += held.eq(valid)
            valid = held
        with m.If(go):
            m.d.sync += self.o.valid.eq(valid)
        return m
