"""Results: sums of both engines are gathered by row, added up, and divided by the weights' sum.

Each engine's sums have a memory of their own, a place for every row. A row's place is taken again when it has left.
Rows leave as they are done, one in a cycle, the lowest of those first, but head after head. The reciprocal of a row's
weights' sum is made while its sums wait beside.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.memory import Memory

from siloom.rtl.barrel import named
from siloom.rtl.beside import beside
from siloom.rtl.lanes import lanes
from siloom.rtl.machines._vitcod_layouts import Layouts, lowest
from siloom.rtl.machines._vitcod_size import SLOTS
from siloom.rtl.pick import pick, the_one
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
        o: Stream out: a row, and whose it is.
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
        self.o: Any = stream.Signature(layouts.row).create()

    def elaborate(self, platform: object) -> Module:
        """Gather, then divide row by row."""
        m = Module()
        layouts = self._layouts
        rows = layouts.size.seq
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
        rest, gone = self._rest(m), Signal(rows)
        dense = self.head.globals.any()
        within = named(m, Cat(number < self.head.seq for number in range(rows)), "within")
        done = named(m, within & ~gone & (there[0] | ~dense.replicate(rows)) & (there[1] | ~rest), "done")
        first, _ = lowest(m, "first", done, layouts.index)
        count: Any = Signal(layouts.count)
        last = named(m, count + 1 == self.head.seq, "last")
        m.d.comb += [row.eq(first), used.eq(Cat(dense, rest.bit_select(row, 1)))]
        with m.If(takes):
            m.d.sync += [
                gone.eq(Mux(last, 0, gone | (1 << row)[:rows])),
                count.eq(Mux(last, 0, count + 1)),
                self.leaving.eq(self.leaving + last),
            ]
        self._divide(m, named(m, self.allowed & done.any(), "may"), takes, used, row, parts)
        return m

    def _rest(self, m: Module) -> Any:
        """Which rows have keys in the sparser engine."""
        places = [Signal(self._layouts.size.seq, name=f"rest{n}") for n in range(SLOTS)]
        for n, place in enumerate(places):
            with m.If(self.row_given & (self.row_place == n)):
                m.d.sync += place.bit_select(self.row_at, 1).eq(self.row_kept)
        return named(m, pick(places, self.leaving[:2]), "rest")

    def _gather(
        self, m: Module, name: str, dense: int, row: Any, leaves: Any, taken: dict[int, list[Any]]
    ) -> tuple[Any, Any]:
        """One engine's sums: those of a row, a cycle after it leaves, and of which rows they are there."""
        layouts = self._layouts
        memory = Memory(shape=layouts.sums, depth=1 << layouts.index, init=[])
        m.submodules[name] = memory
        write, read = memory.write_port(), memory.read_port()
        full = Signal(layouts.size.seq, name=f"{name}_full")
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
        return read.data, full

    def _divide(self, m: Module, may: Any, takes: Any, used: Any, row: Any, parts: list[Any]) -> None:
        """Two sums become one, and that is divided; the row's number waits beside."""
        size = self._layouts.size
        adder: Any = BankSum(bank_sum.BankSum(banks=2, lanes=size.dim + 1))
        shares: Any = Reciprocal(reciprocal.Reciprocal())
        scaled: Any = ScaledCode(scaled_code.ScaledCode(lanes=size.dim, code_bits=size.bits))
        m.submodules.adder, m.submodules.reciprocal, m.submodules.scaled = adder, shares, scaled
        held, holds = Signal(2), Signal()
        whose: Any = Signal(self._layouts.address)
        now, leaves = Signal(self._layouts.address), Signal()
        m.d.comb += [now.number.eq(row), now.half.eq(self.leaving[0])]
        inside = adder.contract.capacity + shares.contract.capacity + scaled.contract.capacity
        m.d.comb += [
            takes.eq(may & (~holds | adder.i.ready)),
            adder.i.valid.eq(holds),
            Cat(*lanes(adder.i.p.part)).eq(Cat(Mux(held[n], Cat(*part), 0) for n, part in enumerate(parts))),
        ]
        with m.If(takes):
            m.d.sync += [held.eq(used), whose.eq(now)]
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
            Cat(*self.o.p.codes).eq(Cat(*lanes(scaled.o.p.code))),
            self.o.p.row.eq(beside(m, "rows", whose.shape(), inside, whose, holds & adder.i.ready, leaves)),
            leaves.eq(self.o.valid & self.o.ready),
            self.o.valid.eq(scaled.o.valid),
            scaled.o.ready.eq(self.o.ready),
        ]
