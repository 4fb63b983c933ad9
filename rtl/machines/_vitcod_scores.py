"""Scores of the sparser engine: a bank for every column, so that lines, each in a column of its own, never collide.

Rows are read whole, one in a cycle, for whichever line asks, together with the largest score of the row.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from siloom.rtl.barrel import named
from siloom.rtl.machines._vitcod_layouts import Layouts, largest_of, lowest
from siloom.rtl.pick import the_one
from siloom.rtl.shared import place


class ScoreBank(wiring.Component):
    """The scores of one column.

    Attributes:
        given: In: which line's score is of this column.
        rows, scores: In: of each line.
        at: In: a row; ``score``: Out: its score, a cycle later.
    """

    given: Any
    rows: Any
    scores: Any
    at: Any
    score: Any

    def __init__(self, layouts: Layouts) -> None:
        self._layouts = layouts
        count = layouts.size.lines
        super().__init__(
            {
                "given": In(count),
                "rows": In(data.ArrayLayout(layouts.index, count)),
                "scores": In(data.ArrayLayout(layouts.score, count)),
                "at": In(layouts.index),
                "score": Out(layouts.score),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """One port to write, one to read."""
        m = Module()
        layouts = self._layouts
        memory = Memory(shape=layouts.score, depth=1 << layouts.index, init=[])
        m.submodules.memory = memory
        write, read = memory.write_port(), memory.read_port()
        bits = list(self.given)
        m.d.comb += [
            write.en.eq(self.given.any()),
            write.addr.eq(the_one(m, "row", bits, list(self.rows))),
            write.data.eq(the_one(m, "score", bits, [score.as_unsigned() for score in self.scores])),
            read.addr.eq(self.at),
            self.score.eq(read.data),
        ]
        return m


class Scores(Elaboratable):
    """All banks.

    Attributes:
        lines: The lines, of which scores come and whose rows are read.
        settled: In: all scores of the head are written, and may be read.
    """

    def __init__(self, layouts: Layouts, lines: list[Any]) -> None:
        self._layouts, self.lines = layouts, lines
        self.settled: Any = Signal()

    def elaborate(self, platform: object) -> Module:
        """Scores to their banks, rows to lines."""
        m = Module()
        layouts = self._layouts
        asks = named(m, Cat(line.asks & self.settled for line in self.lines), "asks")
        first, _ = lowest(m, "asking", asks, max(1, layouts.size.line_bits))
        row = named(m, the_one(m, "asked", _only(m, asks), [line.asked for line in self.lines]), "row")
        read: Any = Signal(layouts.index)
        m.d.sync += read.eq(row)
        largest, known = largest_of(m, "largest", [line.sparse_held for line in self.lines])
        for number, line in enumerate(self.lines):
            m.d.comb += [
                line.granted.eq(asks.any() & (first == number)),
                line.sparse_row.eq(read),
                line.largest.eq(Mux(known, largest, 0)),
            ]
        sparse = [named(m, line.scored.valid & ~line.scored.dense, f"sparse{n}") for n, line in enumerate(self.lines)]
        for column in range(layouts.size.seq):
            bank: Any = ScoreBank(layouts)
            place(m, platform, bank, f"bank{column}", "vitcod_score_bank")
            m.d.comb += [
                bank.given.eq(
                    Cat(given & (line.scored.column == column) for given, line in zip(sparse, self.lines, strict=True))
                ),
                Cat(*bank.rows).eq(Cat(line.scored.row for line in self.lines)),
                Cat(*bank.scores).eq(Cat(line.scored.score for line in self.lines)),
                bank.at.eq(row),
                *(line.scores[column].eq(bank.score) for line in self.lines),
            ]
        return m


def _only(m: Module, bits: Any) -> list[Any]:
    """The lowest bit that is set, alone."""
    less = named(m, (bits - 1)[: len(bits)], "below")
    return list(named(m, bits & ~less, "only"))
