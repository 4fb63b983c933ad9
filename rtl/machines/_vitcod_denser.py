"""The denser engine's control: its lines work side by side, a query each, on one global token's column after another.

Scores are made column by column and summed row by row, as many rows together as the engine has lines; so a word of
its memory holds a score of each line, kept or not, and is written and read by all of them at once. Before rows are
summed the largest score of each is looked up, one row in a cycle, while the rows before are summed.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal
from amaranth.lib import data
from amaranth.lib.memory import Memory

from siloom.rtl.barrel import named
from siloom.rtl.machines._sanger_predict import later
from siloom.rtl.machines._vitcod_layouts import Layouts, largest_of


class Denser(Elaboratable):
    """Commands for the lines, and the memory of their scores.

    Attributes:
        head: In: what the head is like that is worked on; ``half``: where it lies.
        begins_scores, begins_sums: In: what is done from the next cycle on.
        columns_here: In: how many of the head's columns have come.
        kept_given, kept_at, kept: In: bits of a global token's column.
        scoring, summing: In: what is done.
        settled: In: the head's scores are all there.
        busy: There is more to do behind this cycle.
    """

    def __init__(self, layouts: Layouts, lines: list[Any]) -> None:
        self._layouts, self.lines = layouts, lines
        self.head: Any = Signal(layouts.head)
        self.half: Any = Signal()
        self.begins_scores: Any = Signal()
        self.begins_sums: Any = Signal()
        self.columns_here: Any = Signal(layouts.count)
        self.kept_given: Any = Signal()
        self.kept_at: Any = Signal(layouts.address)
        self.kept: Any = Signal(layouts.size.seq)
        self.scoring: Any = Signal()
        self.summing: Any = Signal()
        self.settled: Any = Signal()
        self.busy: Any = Signal()

    def elaborate(self, platform: object) -> Module:
        """Where it stands: a column and the first of some rows."""
        m = Module()
        layouts, head = self._layouts, self.head
        column, base = Signal(layouts.count), Signal(layouts.count)
        go, last_column, last_rows, turned = Signal(), Signal(), Signal(), Signal()
        beyond: Any = Signal(layouts.count + 1)
        m.d.comb += [
            beyond.eq(base + head.denser),
            last_column.eq(column + 1 == head.globals),
            last_rows.eq(beyond >= head.seq),
        ]
        left = named(m, Mux(self.scoring, column < head.globals, head.globals.any() & (base < head.seq)), "left")
        room = named(m, Cat(line.room | ~line.denser for line in self.lines).all(), "room")
        with m.If(self.scoring):
            m.d.comb += go.eq(left & (column < self.columns_here))
            with m.If(go):
                m.d.sync += base.eq(Mux(last_rows, 0, beyond))
            with m.If(go & last_rows):
                m.d.sync += column.eq(column + 1)
        with m.If(self.summing):
            m.d.comb += go.eq(left & room & (turned | column.any()))
            with m.If(go):
                m.d.sync += column.eq(Mux(last_column, 0, column + 1))
            with m.If(go & last_column):
                m.d.sync += base.eq(beyond)
        with m.If(self.begins_scores | self.begins_sums):
            m.d.sync += [column.eq(0), base.eq(0)]
        m.d.comb += self.busy.eq(left & ~(go & last_column & last_rows))
        self._command(m, go, column, base, last_column)
        self._remember(m, go, column, base)
        self._look_up(m, turned, go & self.summing & ~column.any())
        return m

    def _command(self, m: Module, go: Any, column: Any, base: Any, last_column: Any) -> None:
        """What each line does, and whether its query is kept."""
        layouts = self._layouts
        memory = Memory(shape=layouts.size.seq, depth=2 << layouts.index, init=[])
        m.submodules.kept = memory
        write, read = memory.write_port(), memory.read_port(domain="comb")
        m.d.comb += [
            write.en.eq(self.kept_given),
            write.addr.eq(self.kept_at),
            write.data.eq(self.kept),
            read.addr.eq(Cat(column[: layouts.index], self.half)),
        ]
        for number, line in enumerate(self.lines):
            row = named(m, base + number, f"row{number}")
            m.d.comb += [
                line.command.valid.eq(go & (number < self.head.denser) & (row < self.head.seq)),
                line.command.row.eq(row),
                line.command.column.eq(column),
                line.command.kept.eq(read.data.bit_select(row[: layouts.index], 1)),
                line.command.first.eq(Mux(self.scoring, ~base.any(), ~column.any())),
                line.command.last.eq(last_column),
            ]

    def _remember(self, m: Module, go: Any, column: Any, base: Any) -> None:
        """Scores by row, then column: those of the next rows lie as many words further as there are global tokens."""
        layouts, size = self._layouts, self._layouts.size
        word = data.ArrayLayout(layouts.marked, size.lines)
        memory = Memory(shape=word, depth=size.denser_words, init=[])
        m.submodules.scores = memory
        write, read = memory.write_port(), memory.read_port()
        to, at = Signal(range(max(2, size.denser_words))), Signal(range(max(2, size.denser_words)))
        into: Any = Signal(to.shape(), name="into")
        m.d.comb += into.eq(Mux(base.any(), to, column))
        makes = named(m, go & self.scoring, "makes")
        reads = named(m, go & self.summing, "reads")
        with m.If(makes):
            m.d.sync += to.eq(into + self.head.globals)
        with m.If(reads):
            m.d.sync += at.eq(at + 1)
        with m.If(self.begins_sums):
            m.d.sync += at.eq(0)
        wait = 1 + size.product.stages
        m.d.comb += [
            write.en.eq(later(m, makes, wait, "made")),
            # Places behind the last one are never on an address.
            write.addr.eq(later(m, named(m, Mux(makes, into, 0), "makes_at"), wait, "made_at")),
            read.en.eq(reads),
            read.addr.eq(Mux(reads, at, 0)),
        ]
        for number, line in enumerate(self.lines):
            m.d.comb += [
                write.data[number].score.eq(line.scored.score),
                write.data[number].marked.eq(line.scored.kept),
                line.denser_score.eq(read.data[number]),
            ]

    def _look_up(self, m: Module, turned: Any, turns: Any) -> None:
        """The largest of each line's next row; ``turned`` when all have theirs, until they turn to it."""
        layouts = self._layouts
        row, number = Signal(layouts.count), Signal(range(max(2, self._layouts.size.lines)))
        looks = named(m, self.settled & (~turned | turns) & (row < self.head.seq), "looks")
        last = named(m, (number + 1 == self.head.denser) | (row + 1 == self.head.seq), "last")
        largest, known = largest_of(m, "largest", [line.denser_held for line in self.lines])
        with m.If(turns):
            m.d.sync += turned.eq(0)
        with m.If(looks):
            m.d.sync += [row.eq(row + 1), number.eq(Mux(last, 0, number + 1)), turned.eq(last)]
        with m.If(self.begins_scores):
            m.d.sync += [row.eq(0), number.eq(0), turned.eq(0)]
        for at, line in enumerate(self.lines):
            m.d.comb += [
                line.denser_row.eq(row),
                line.next_given.eq(looks & (number == at)),
                line.next_largest.eq(Mux(known, largest, 0)),
            ]
