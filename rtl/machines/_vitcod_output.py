"""Results: sums of both engines are gathered by row, added up, and divided by the weights' sum.

Each engine's sums have a memory of their own, a place for every row. A row's place is taken again when it has left.
Rows leave as they are done, one in a cycle, the lowest of those first, but head after head. The reciprocal of a row's
weights' sum is made while its sums wait beside.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal
from amaranth.lib import stream

from siloom.rtl.barrel import named
from siloom.rtl.beside import beside
from siloom.rtl.machines._vitcod_lanes import ADDER, RECIPROCAL, CodeLane, SumLane
from siloom.rtl.machines._vitcod_layouts import Layouts, earliest, lowest, one_bit
from siloom.rtl.machines._vitcod_size import SLOTS
from siloom.rtl.pick import pick, the_one
from siloom.rtl.shared import place
from siloom.rtl.units.reciprocal import Reciprocal
from siloom.sim.units import scaled_code


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
        kept = [
            self._gather(m, name, dense, row, takes & used[1 - dense], taken)
            for dense, name in ((1, "denser"), (0, "sparser"))
        ]
        there = [full for _, _, full in kept]
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
                gone.eq(Mux(last, 0, gone | one_bit(m, "goes", takes, row, rows))),
                count.eq(Mux(last, 0, count + 1)),
                self.leaving.eq(self.leaving + last),
            ]
        self._divide(m, platform, named(m, self.allowed & done.any(), "may"), takes, used, row, kept)
        return m

    def _rest(self, m: Module) -> Any:
        """Which rows have keys in the sparser engine."""
        places = [Signal(self._layouts.size.seq, name=f"rest{n}") for n in range(SLOTS)]
        for n, rest in enumerate(places):
            here = one_bit(m, f"here{n}", self.row_given & (self.row_place == n), self.row_at, len(rest))
            m.d.sync += rest.eq(Mux(self.row_kept, rest | here, rest & ~here))
        return named(m, pick(places, self.leaving[:2]), "rest")

    def _gather(
        self, m: Module, name: str, dense: int, row: Any, leaves: Any, taken: dict[int, list[Any]]
    ) -> tuple[Any, Any, Any]:
        """Of one engine: whose sums are kept, for which row, and of which rows they are there."""
        layouts = self._layouts
        full = Signal(layouts.size.seq, name=f"{name}_full")
        asks = named(
            m,
            Cat(
                line.waiting & (line.result.dense == dense) & ~full.bit_select(line.result.row, 1)
                for line in self.lines
            ),
            f"{name}_asks",
        )
        only = earliest(m, f"{name}_only", asks, [line.result.row for line in self.lines])
        for number in range(len(self.lines)):
            taken[number].append(only[number])
        at = named(m, the_one(m, f"{name}_row", list(only), [line.result.row for line in self.lines]), f"{name}_at")
        comes = one_bit(m, f"{name}_comes", asks.any(), at, len(full))
        m.d.sync += full.eq((full | comes) & ~one_bit(m, f"{name}_leaves", leaves, row, len(full)))
        return only, at, full

    def _divide(self, m: Module, platform: object, may: Any, takes: Any, used: Any, row: Any, kept: list[Any]) -> None:
        """Two sums become one, and that is divided; the row's number waits beside."""
        layouts, size = self._layouts, self._layouts.size
        shares: Any = Reciprocal(RECIPROCAL)
        m.submodules.reciprocal = shares
        sums: list[Any] = [SumLane(layouts) for _ in range(size.dim + 1)]
        codes: list[Any] = [CodeLane(layouts) for _ in range(size.dim)]
        parts = []
        for (only, _, _), name in zip(kept, ("denser", "sparser"), strict=True):
            part: Any = Signal(layouts.sums, name=f"{name}_sums")
            m.d.comb += part.eq(
                the_one(m, f"{name}_of", list(only), [line.result.sums.as_value() for line in self.lines])
            )
            parts.append(part)
        held, holds = Signal(2), Signal()
        whose: Any = Signal(layouts.address)
        now: Any = Signal(layouts.address)
        leaves, moves = Signal(), Signal()
        adds = named(m, Cat(lane.ready for lane in sums).all(), "adds")
        added = named(m, Cat(lane.made for lane in sums).all(), "added")
        scales = named(m, Cat(lane.ready for lane in codes).all(), "scales")
        inside = ADDER.stages + RECIPROCAL.stages + scaled_code.ScaledCode().stages
        m.d.comb += [
            now.number.eq(row),
            now.half.eq(self.leaving[0]),
            takes.eq(may & (~holds | adds)),
            shares.i.valid.eq(added),
            shares.i.p.total.eq(sums[-1].total),
            moves.eq(added & shares.i.ready),
            shares.o.ready.eq(scales),
            self.o.valid.eq(Cat(lane.made for lane in codes).all()),
            Cat(*self.o.p.codes).eq(Cat(lane.code for lane in codes)),
            self.o.p.row.eq(beside(m, "rows", whose.shape(), inside, whose, holds & adds, leaves)),
            leaves.eq(self.o.valid & self.o.ready),
        ]
        with m.If(takes):
            m.d.sync += [held.eq(used), whose.eq(now)]
        with m.If(~holds | adds):
            m.d.sync += holds.eq(takes)
        for number, lane in enumerate(sums):
            place(m, platform, lane, f"sum{number}", "vitcod_sum")
            m.d.comb += [
                *(mine.eq(sums_of[number]) for mine, sums_of in zip(lane.parts, parts, strict=True)),
                lane.given.eq(Cat(only.any() for only, _, _ in kept)),
                lane.denser_at.eq(kept[0][1]),
                lane.sparser_at.eq(kept[1][1]),
                lane.reads.eq(takes),
                lane.row.eq(row),
                lane.used.eq(held),
                lane.valid.eq(holds),
                lane.taken.eq(shares.i.ready),
            ]
        for number, code in enumerate(codes):
            place(m, platform, code, f"code{number}", "vitcod_code")
            m.d.comb += [
                code.total.eq(sums[number].total),
                code.enters.eq(moves),
                code.valid.eq(shares.o.valid),
                code.share.eq(shares.o.p.share),
                code.taken.eq(self.o.ready),
            ]
