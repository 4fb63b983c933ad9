"""Scores of the sparser engine: a bank for every column, so that lines, each in a column of its own, never collide.

Rows are read whole, one in a cycle, for whichever line asks, together with the largest score of the row. Banks of
neighbouring columns are a block, which is written down once.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from siloom.rtl.barrel import named
from siloom.rtl.machines._vitcod_layouts import Layouts, earliest, largest_of
from siloom.rtl.pick import the_one
from siloom.rtl.shared import place


class ScoreBlock(wiring.Component):
    """The scores of some columns.

    Attributes:
        given: In: which line's score is of one of these columns.
        columns, rows, scores: In: of each line; the column's number in the block.
        at: In: a row; ``found``: Out: its scores, a cycle later.
    """

    given: Any
    columns: Any
    rows: Any
    scores: Any
    at: Any
    found: Any

    def __init__(self, layouts: Layouts) -> None:
        self._layouts = layouts
        count = layouts.size.lines
        super().__init__(
            {
                "given": In(count),
                "columns": In(max(1, layouts.block_bits)).array(count),
                "rows": In(layouts.index).array(count),
                "scores": In(layouts.score).array(count),
                "at": In(layouts.index),
                "found": Out(layouts.block),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """For every column one port to write, one to read."""
        m = Module()
        layouts = self._layouts
        several = layouts.block_bits > 0
        for column in range(layouts.size.block):
            memory = Memory(shape=layouts.score, depth=1 << layouts.index, init=[])
            m.submodules[f"bank{column}"] = memory
            write, read = memory.write_port(), memory.read_port()
            here = Cat(its == column for its in self.columns) if several else self.given
            mine = named(m, self.given & here, f"given{column}")
            bits = list(mine)
            m.d.comb += [
                write.en.eq(mine.any()),
                write.addr.eq(the_one(m, f"row{column}", bits, list(self.rows))),
                write.data.eq(the_one(m, f"score{column}", bits, [score.as_unsigned() for score in self.scores])),
                read.addr.eq(self.at),
                self.found[column].eq(read.data),
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
        only = earliest(m, "only", asks, [line.asked for line in self.lines])
        row = named(m, the_one(m, "asked", list(only), [line.asked for line in self.lines]), "row")
        read: Any = Signal(layouts.index)
        m.d.sync += read.eq(row)
        largest, known = largest_of(m, "largest", [line.sparse_held for line in self.lines])
        for number, line in enumerate(self.lines):
            m.d.comb += [
                line.granted.eq(only[number]),
                line.sparse_row.eq(read),
                line.largest.eq(Mux(known, largest, 0)),
            ]
        for number in range(layouts.size.blocks):
            block: Any = ScoreBlock(layouts)
            place(m, platform, block, f"block{number}", "vitcod_score_block")
            mine = [
                line.scored.valid & ~line.scored.dense & ((line.scored.column >> layouts.block_bits) == number)
                for line in self.lines
            ]
            m.d.comb += [block.given.eq(Cat(mine)), block.at.eq(row)]
            for at, line in enumerate(self.lines):
                m.d.comb += [
                    block.columns[at].eq(line.scored.column[: layouts.block_bits]),
                    block.rows[at].eq(line.scored.row),
                    block.scores[at].eq(line.scored.score),
                    line.scores[number].eq(block.found),
                ]
        return m
