"""The chunk merger: columns leave in order, and no element is lost, made up, doubled or put to another column.

The floating-point adder is not what is proved here, and in its place stands one that only joins marks (exclusive or).
One element, any that comes, carries a mark and all others none, so that the mark must be in the sum of its column and
in no other; were it added twice, it would be gone. Beside that, the elements of one column, any, are counted in and
out.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from siloom.rtl.formal import Harness, Part, Proof
from siloom.rtl.units.chunk_merger import ChunkMerger
from siloom.sim.contract import FP64
from siloom.sim.units import chunk_merger

_MARK = FP64.mantissa_bits
"""The bit of a value that is the mark: alone it is the code of an ordinary number."""

_LAWS = {
    "order": "columns never fall within a row",
    "entry": "a result is an entry if and only if it is the last of its column",
    "count": "no more elements of a column leave than came, and a row ends with none left",
    "mark": "the entry of the marked element's column has the mark, and no other column of the row",
    "chunk": "the marked element leaves with the number of its chunk, and asks for a refill unless it was the last",
    "asks": "while a row is merged a beat is taken only after a result that asks for it",
    "waits": "a result that is not taken stays, unchanged",
    "moves": "the unit is never long without a result to show or a beat to ask for",
}
_ASSUMPTIONS = {
    "fits": "a row has no more chunks than there are heads",
    "rises": "columns rise within a chunk, and so a chunk ends at the highest",
    "steady": "the column that is counted stays the same",
}
_REACHES = {
    "full": "a row of as many chunks as there are heads is merged to its end",
    "joined": "the marked element is added to another of its column",
    "refilled": "the marked element comes as a refill",
    "again": "a second row has ended",
}


class Marks(ChunkMerger):
    """The twin with an adder that joins marks."""

    def add(self, m: Module, total: Value, value: Value, cycles: int) -> Any:
        """Exclusive or; the operands wait, so that it may well be early."""
        return total ^ value


class MergerHarness(Harness):
    """A merger between neighbours that do as they like, but for what its Contract calls legal."""

    def __init__(self, part: Any) -> None:
        """Watch a chunk merger."""
        self.part, design = part, part.design
        self.heads = design.heads
        self.most_cycles = design.step_cycles * design.heads + design.element_cycles + design.add_cycles + 1
        bits = design.column_bits
        free = {"column": bits, "end": 1, "go": 1, "valid": 1, "ready": 1, "follow": 1, "counted": bits}
        super().__init__(free, laws=_LAWS, assumptions=_ASSUMPTIONS, reaches=_REACHES)

    def elaborate(self, platform: object) -> Module:
        """Drive the part; say what is legal; follow, count, watch."""
        m = Module()
        m.submodules.part = part = self.part
        i, o = part.i, part.o
        takes, gives, marked, marks = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            marks.eq(self.follow & ~marked),
            i.p.column.eq(self.column),
            i.p.value.eq(Cat(Const(0, _MARK), marks, Const(0, FP64.bits - _MARK - 1))),
            i.p.end.eq(self.end),
            i.p.go.eq(self.go),
            i.valid.eq(self.valid),
            o.ready.eq(self.ready),
            takes.eq(i.valid & i.ready),
            gives.eq(o.valid & o.ready),
        ]
        merging, chunk = self._legal(m, takes, gives)
        self._follow(m, takes, gives, marked, marks, merging, chunk)
        self._count(m, takes, gives)
        self._watch(m, gives)
        return m

    def _legal(self, m: Module, takes: Value, gives: Value) -> tuple[Signal, Signal]:
        """What may be offered; whether a row is being merged, and the chunk that a beat taken now belongs to."""
        i, o = self.part.i, self.part.o
        ends = gives & o.p.last
        was_merging, was_loaded = Signal(), Signal(range(self.heads + 1))
        merging, loaded = Signal(), Signal(range(self.heads + 1))
        popped, column = Signal(len(self.column)), Signal(len(self.column))
        asked, asks = Signal(), Signal()
        chunk, of = Signal.like(o.p.chunk), Signal.like(o.p.chunk)
        m.d.comb += [
            merging.eq(was_merging & ~ends),
            loaded.eq(Mux(ends, 0, was_loaded)),
            # A beat can be taken in the very cycle in which the result that asks for it leaves.
            column.eq(Mux(gives, o.p.column, popped)),
            asks.eq(Mux(gives, o.p.refill, asked)),
            of.eq(Mux(merging, Mux(gives, o.p.chunk, chunk), loaded)),
            self.fact("fits").eq(~takes | merging | i.p.go | (loaded != self.heads - 1)),
            self.fact("rises").eq(~takes | ((~merging | (i.p.column > column)) & (~i.p.column.all() | i.p.end))),
            self.fact("asks").eq(~(takes & merging) | asks),
        ]
        m.d.sync += [was_merging.eq(merging), was_loaded.eq(loaded), asked.eq(asks & ~takes)]
        with m.If(takes & ~merging):
            m.d.sync += [was_merging.eq(i.p.go), was_loaded.eq(loaded + 1)]
        with m.If(gives):
            m.d.sync += [popped.eq(o.p.column), chunk.eq(o.p.chunk)]
        rows = Signal(2)
        with m.If(ends & (rows != 2)):
            m.d.sync += rows.eq(rows + 1)
        m.d.comb += [self.fact("full").eq(ends & (was_loaded == self.heads)), self.fact("again").eq(rows == 2)]
        return merging, of

    def _follow(
        self, m: Module, takes: Value, gives: Value, marked: Signal, marks: Value, merging: Value, chunk: Value
    ) -> None:
        """One element with a mark, from its coming to the end of its row."""
        i, o = self.part.i, self.part.o
        column, of = Signal(len(self.column)), Signal.like(o.p.chunk)
        end, refilled, seen, alone = Signal(), Signal(), Signal(), Signal(init=1)
        mark = o.p.sum[_MARK]
        leaves = gives & mark & ~seen
        here = marked & (o.p.column == column)
        m.d.comb += [
            # In its column the mark comes once and stays to the entry; the row does not end before.
            self.fact("mark").eq(
                ~gives | (Mux(here, mark | ~(seen | o.p.entry), ~mark) & ~(o.p.last & marked & ~(seen | mark)))
            ),
            self.fact("chunk").eq(~leaves | ((o.p.chunk == of) & (o.p.refill == ~end))),
            self.fact("joined").eq(leaves & ~alone),
            self.fact("refilled").eq(leaves & refilled),
        ]
        with m.If(gives):
            m.d.sync += [alone.eq(o.p.entry), seen.eq(seen | mark)]
            with m.If(o.p.last):
                m.d.sync += [marked.eq(0), seen.eq(0)]
        with m.If(takes & marks):
            m.d.sync += [
                marked.eq(1),
                seen.eq(0),
                column.eq(i.p.column),
                end.eq(i.p.end),
                of.eq(chunk),
                refilled.eq(merging),
            ]

    def _count(self, m: Module, takes: Value, gives: Value) -> None:
        """Elements of one column."""
        i, o = self.part.i, self.part.o
        started, before = Signal(), Signal(len(self.column))
        inside = Signal(range(self.heads + 2))  # one more than may be, to see it: each chunk has a column once
        comes = takes & (i.p.column == self.counted)
        leaves = gives & (o.p.column == self.counted)
        m.d.sync += [started.eq(1), before.eq(self.counted), inside.eq(inside + comes - leaves)]
        m.d.comb += [
            self.fact("steady").eq(~started | (before == self.counted)),
            self.fact("count").eq(
                (~leaves | inside.any()) & (inside <= self.heads) & (~(gives & o.p.last) | (inside == leaves))
            ),
        ]

    def _watch(self, m: Module, gives: Value) -> None:
        """Results beside the one before, and beside themselves a cycle before."""
        i, o = self.part.i, self.part.o
        payload = o.payload.as_value()
        before, entry, inside = Signal(len(self.column)), Signal(), Signal()  # inside: the row goes on
        with m.If(gives):
            m.d.sync += [before.eq(o.p.column), entry.eq(o.p.entry), inside.eq(~o.p.last)]
        waiting, shown = Signal(), Signal(len(payload))
        idle = Signal(range(self.most_cycles + 2))
        m.d.sync += [
            waiting.eq(o.valid & ~o.ready),
            shown.eq(payload),
            idle.eq(Mux(o.valid | i.ready, 0, idle + (idle <= self.most_cycles))),
        ]
        m.d.comb += [
            self.fact("order").eq(~(o.valid & inside) | (o.p.column >= before)),
            self.fact("entry").eq(~o.valid | ((~inside | (entry == (o.p.column != before))) & (~o.p.last | o.p.entry))),
            self.fact("waits").eq(~waiting | (o.valid & (payload == shown))),
            self.fact("moves").eq(idle <= self.most_cycles),
        ]


def _parts() -> dict[str, Part]:
    registers = chunk_merger.ChunkMerger(column_bits=3, heads=3, step_cycles=0, add_cycles=0)
    walked = chunk_merger.ChunkMerger(column_bits=3, heads=3, step_cycles=1, add_cycles=1)
    return {
        design.settings_text(): Part(partial(Marks, design), laws_depth, 14)
        for design, laws_depth in ((registers, 8), (walked, 9))
    }


PROOF = Proof(
    name="chunk_merger",
    summary="chunk merger: columns in order, no element lost, made up or doubled; its adder replaced by one of marks",
    parts=_parts(),
    harness=MergerHarness,
)
