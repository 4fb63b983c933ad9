"""Results: sums of both engines are gathered by row, added up, divided by the weights' sum, and leave in order.

Each engine's sums have a memory of their own, a place for every row. A row's place is taken again when it has left.
A row goes through in every cycle; the reciprocal of its weights' sum is made while its sums wait beside.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.memory import Memory

from siloom.rtl.barrel import named
from siloom.rtl.beside import beside
from siloom.rtl.lanes import lanes
from siloom.rtl.machines._vitcod_layouts import Layouts
from siloom.rtl.pick import the_one
from siloom.rtl.units.bank_sum import BankSum
from siloom.rtl.units.reciprocal import Reciprocal
from siloom.rtl.units.scaled_code import ScaledCode
from siloom.sim.units import bank_sum, reciprocal, scaled_code


class Output(Elaboratable):
    """From lines to the output's stream.

    Attributes:
        lines: Whose results wait.
        head: In: the head in place ``leaving[:2]``.
        leaving: The head whose rows leave, counted as the loader counts.
        allowed: In: that head's products with V have begun.
        row_given, row_at, row_kept: In: of the head in place ``row_place``, whether a row has keys in the sparser
            engine.
        o: Stream out: a row.
    """

    def __init__(self, layouts: Layouts, lines: list[Any]) -> None:
        self._layouts, self.lines = layouts, lines
        self.head: Any = Signal(layouts.head)
        self.leaving: Any = Signal(3)
        self.allowed: Any = Signal()
        self.row_given: Any = Signal()
        self.row_at: Any = Signal(layouts.index)
        self.row_place: Any = Signal(2)
        self.row_kept: Any = Signal()
        self.o: Any = stream.Signature(layouts.codes).create()

    def elaborate(self, platform: object) -> Module:
        """Gather, then divide row by row."""
        m = Module()
        layouts = self._layouts
        row: Any = Signal(layouts.index)
        takes, used = Signal(), Signal(2)
        taken: dict[int, list[Any]] = {number: [] for number in range(len(self.lines))}
        parts, there = [], []
        for dense, name in ((1, "denser"), (0, "sparser")):
            part, here = self._gather(m, name, dense, row, takes & used[1 - dense], taken)
            parts.append(part)
            there.append(here)
        for number, line in enumerate(self.lines):
            m.d.comb += line.taken.eq(Cat(taken[number]).any())
        m.d.comb += used.eq(Cat(self.head.globals.any(), self._rest(m, row)))
        may = named(m, self.allowed & (there[0] | ~used[0]) & (there[1] | ~used[1]), "may")
        last = named(m, row + 1 == self.head.seq, "last")
        with m.If(takes):
            m.d.sync += [row.eq(Mux(last, 0, row + 1)), self.leaving.eq(self.leaving + last)]
        self._divide(m, may, takes, used, parts)
        return m

    def _rest(self, m: Module, row: Any) -> Any:
        """Whether the row has keys in the sparser engine."""
        layouts = self._layouts
        memory = Memory(shape=1, depth=4 << layouts.index, init=[])
        m.submodules.rest = memory
        write, read = memory.write_port(), memory.read_port(domain="comb")
        m.d.comb += [
            write.en.eq(self.row_given),
            write.addr.eq(Cat(self.row_at, self.row_place)),
            write.data.eq(self.row_kept),
            read.addr.eq(Cat(row, self.leaving[:2])),
        ]
        return read.data

    def _gather(
        self, m: Module, name: str, dense: int, row: Any, leaves: Any, taken: dict[int, list[Any]]
    ) -> tuple[Any, Any]:
        """One engine's sums: those of a row, a cycle after it leaves, and whether they are there."""
        layouts = self._layouts
        memory = Memory(shape=layouts.sums, depth=1 << layouts.index, init=[])
        m.submodules[name] = memory
        write, read = memory.write_port(), memory.read_port()
        full = Signal(1 << layouts.index, name=f"{name}_full")
        asks = named(
            m,
            Cat(
                line.waiting & (line.result.dense == dense) & ~full.bit_select(line.result.row, 1)
                for line in self.lines
            ),
            f"{name}_asks",
        )
        less = named(m, (asks - 1)[: len(asks)], f"{name}_below")
        only = named(m, asks & ~less, f"{name}_only")
        for number in range(len(self.lines)):
            taken[number].append(only[number])
        at = named(m, the_one(m, f"{name}_row", list(only), [line.result.row for line in self.lines]), f"{name}_at")
        m.d.comb += [
            write.en.eq(asks.any()),
            write.addr.eq(at),
            Cat(*write.data).eq(
                the_one(m, f"{name}_sums", list(only), [Cat(*line.result.sums) for line in self.lines])
            ),
            read.en.eq(leaves),
            read.addr.eq(row),
        ]
        with m.If(asks.any()):
            m.d.sync += full.bit_select(at, 1).eq(1)
        with m.If(leaves):
            m.d.sync += full.bit_select(row, 1).eq(0)
        return read.data, full.bit_select(row, 1)

    def _divide(self, m: Module, may: Any, takes: Any, used: Any, parts: list[Any]) -> None:
        size = self._layouts.size
        adder: Any = BankSum(bank_sum.BankSum(banks=2, lanes=size.dim + 1))
        shares: Any = Reciprocal(reciprocal.Reciprocal())
        scaled: Any = ScaledCode(scaled_code.ScaledCode(lanes=size.dim, code_bits=size.bits))
        m.submodules.adder, m.submodules.reciprocal, m.submodules.scaled = adder, shares, scaled
        held, holds = Signal(2), Signal()
        m.d.comb += [
            takes.eq(may & (~holds | adder.i.ready)),
            adder.i.valid.eq(holds),
            Cat(*lanes(adder.i.p.part)).eq(Cat(Mux(held[n], Cat(*part), 0) for n, part in enumerate(parts))),
        ]
        with m.If(takes):
            m.d.sync += held.eq(used)
        with m.If(~holds | adder.i.ready):
            m.d.sync += holds.eq(takes)

        *sums, total = lanes(adder.o.p.sum)
        waits: Any = Signal(data.ArrayLayout(32, size.dim))
        enters, scales = Signal(), Signal()
        m.d.comb += [
            waits.eq(Cat(sums)),
            shares.i.valid.eq(adder.o.valid),
            shares.i.p.total.eq(total),
            adder.o.ready.eq(shares.i.ready),
            enters.eq(shares.i.valid & shares.i.ready),
        ]
        oldest: Any = beside(m, "sums", waits.shape(), shares.contract.capacity, waits, enters, scales)
        m.d.comb += [
            scaled.i.valid.eq(shares.o.valid),
            Cat(*lanes(scaled.i.p.value)).eq(oldest.as_value()),
            scaled.i.p.scale.eq(shares.o.p.share),
            shares.o.ready.eq(scaled.i.ready),
            scales.eq(scaled.i.valid & scaled.i.ready),
            Cat(*self.o.payload).eq(Cat(*lanes(scaled.o.p.code))),
            self.o.valid.eq(scaled.o.valid),
            scaled.o.ready.eq(self.o.ready),
        ]
