"""Prediction: walks the tiles of a head, then sweeps each block of rows twice, and tells when its words are there.

A tile takes the products of all its rows and columns, an element of each a cycle, and then a move of its scores out of
the array. Heads follow one another without a pause: the next one's products run while the sweeps finish the last block.
Heads in flight are as long as one another; nothing checks it.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data

from siloom.rtl.machines._sanger_cells import CellRow
from siloom.rtl.machines._sanger_layouts import head_layout, operand_layouts
from siloom.rtl.machines._sanger_mask_row import MaskRow, block_layout
from siloom.rtl.machines._sanger_size import SangerSize
from siloom.rtl.pick import pick
from siloom.rtl.shared import place
from siloom.rtl.shifts import low_unread


def later(m: Module, value: Any, cycles: int, name: str) -> Any:
    """A value of so many cycles ago."""
    for number in range(cycles):
        shape = value.shape() if isinstance(value, data.View) else Value.cast(value).shape()
        held: Any = Signal(shape, name=f"{name}_{number + 1}")
        m.d.sync += held.eq(value)
        value = held
    return value


def tiles(m: Module, name: str, size: Any, bits: int) -> Any:
    """How many tiles of ``2**bits`` hold ``size``."""
    up: Any = Signal(len(size) + 1, name=low_unread(name))
    m.d.comb += up.eq(size + (1 << bits) - 1)
    return up[bits:]


class Sweep(Elaboratable):
    """Counts the keys of a block, one a cycle.

    Attributes:
        begin: In: a block comes; it is not held up, so it must find the sweep at its end.
        given: In: the block.
        block: The block that is swept, from the cycle after.
        at: The key; ``runs``: whether there is one.
        lead: Whether the sweep is in its first cycle, before all keys (where ``leads``).
        first, last: Of the block.
    """

    def __init__(self, size: SangerSize, leads: bool) -> None:
        self.size, self.leads = size, leads
        self.begin: Any = Signal()
        self.given: Any = Signal(block_layout(size))
        self.block: Any = Signal(block_layout(size))
        self.at: Any = Signal(size.key_bits)
        self.runs: Any = Signal()
        self.lead: Any = Signal()
        self.first: Any = Signal()
        self.last: Any = Signal()

    def elaborate(self, platform: object) -> Module:
        """One counter."""
        m = Module()
        active = Signal()
        parts = self.at[self.size.column_bits :]
        m.d.comb += [
            self.runs.eq(active & ~self.lead),
            self.first.eq(self.at == 0),
            self.last.eq(self.runs & self.at[: self.size.column_bits].all() & (parts + 1 == self.block.parts)),
        ]
        with m.If(active):
            m.d.sync += self.lead.eq(0)
            with m.If(~self.lead):
                m.d.sync += [self.at.eq(self.at + 1), active.eq(~self.last)]
        with m.If(self.begin):
            m.d.sync += [active.eq(1), self.at.eq(0), self.block.eq(self.given), self.lead.eq(int(self.leads))]
        return m


class Predict(Elaboratable):
    """The prediction array with everything behind it up to words of mask bits.

    Attributes:
        begin: In: a head comes, whose ``head`` it is; only when ``free``.
        free: No head's products are left behind this cycle.
        code_at, key_at, query_scale_at, key_scale_at: Addresses of operands, and their words a cycle later in
            ``queries``, ``keys``, ``query_scales`` and ``key_scales``.
        words: Mask bits of all rows, when ``words_given`` says that the next cycle has those of a part.
        part, block: Which part they are of, and which block.
        largest: Largest scores of all rows of the block and head ``largest_at``, when ``largest_given``.
    """

    def __init__(self, size: SangerSize) -> None:
        self.size = size
        shapes = operand_layouts(size)
        self.begin: Any = Signal()
        self.free: Any = Signal()
        self.head: Any = Signal(head_layout(size))
        self.query_at: Any = Signal(size.word_bits)
        self.key_at: Any = Signal(range(max(2, size.elements // size.columns)))
        self.query_scale_at: Any = Signal(size.block_bits)
        self.key_scale_at: Any = Signal(size.part_bits)
        for name in ("query_codes", "key_codes", "query_scales", "key_scales"):
            setattr(self, name, Signal(data.ArrayLayout(*shapes[name]), name=name))
        self.words = [Signal(size.columns, name=f"word{r}") for r in range(size.rows)]
        self.words_given: Any = Signal()
        self.part: Any = Signal(size.part_bits)
        self.block: Any = Signal(block_layout(size))
        self.largest: Any = []
        self.largest_given: Any = Signal()
        self.largest_at: Any = Signal(size.block_bits + 1)

    query_codes: Any
    key_codes: Any
    query_scales: Any
    key_scales: Any

    def elaborate(self, platform: object) -> Module:
        """The walk over the tiles, the rows, the sweeps."""
        m = Module()
        size = self.size
        head: Any = Signal(head_layout(size), name="held")
        runs, moving = Signal(), Signal()
        element: Any = Signal(max(size.element_bits, size.column_bits))
        part: Any = Signal(size.part_bits)
        block: Any = Signal(block_layout(size))
        key_base, query_base = Signal(self.key_at.shape()), Signal(self.query_at.shape())
        end, last_part, last_block, done = Signal(), Signal(), Signal(), Signal()
        blocks = tiles(m, "blocks", head.seq, size.row_bits)
        m.d.comb += [
            end.eq(Mux(moving, element == size.columns - 1, element + 1 == head.dim)),
            last_part.eq(part + 1 == block.parts),
            last_block.eq(block.rows.block + 1 == blocks),
            done.eq(runs & moving & end & last_part & last_block),
            self.free.eq(~runs | done),
            self.key_at.eq(key_base + element),
            self.query_at.eq(query_base + element),
            self.query_scale_at.eq(block.rows.block),
            self.key_scale_at.eq(part),
        ]
        with m.If(runs):
            m.d.sync += element.eq(Mux(end, 0, element + 1))
            with m.If(end):
                m.d.sync += moving.eq(~moving)
            with m.If(end & moving):
                m.d.sync += [part.eq(part + 1), key_base.eq(key_base + head.dim)]
                with m.If(last_part):
                    m.d.sync += [
                        part.eq(0),
                        key_base.eq(0),
                        query_base.eq(query_base + head.dim),
                        block.rows.block.eq(block.rows.block + 1),
                        block.rows.half.eq(~block.rows.half),
                        block.first.eq(0),
                    ]
        with m.If(done):
            m.d.sync += runs.eq(0)
        with m.If(self.begin):
            m.d.sync += [
                runs.eq(1),
                head.eq(self.head),
                query_base.eq(0),
                block.rows.block.eq(0),
                block.first.eq(1),
                block.parts.eq(tiles(m, "parts", self.head.seq, size.column_bits)),
                block.rows.seq.eq(self.head.seq),
                block.rows.causal.eq(self.head.causal),
                block.head.eq(~block.head),
            ]

        column = size.columns - 1 - element[: size.column_bits]
        key = Cat(column[: size.column_bits], part)
        calculates, moves = runs & ~moving, runs & moving
        sending: Any = Signal(block.shape())
        m.d.comb += [sending.eq(block), sending.last.eq(last_block)]
        move2 = later(m, moves, 2, "moves")
        key4 = later(m, key, 4, "key")
        block4 = later(m, sending, 4, "sending")
        move4 = later(m, move2, 2, "scored")
        opens4 = later(m, (part == 0) & (element == 0), 4, "opens")
        ends4 = later(m, moves & end & last_part, 4, "ends")
        key_scale = later(m, self.key_scales, 1, "key_scale")
        query_scale = later(m, self.query_scales, 1, "query_scale")
        shift2 = later(m, head.shift, 2, "shift")
        column2 = later(m, key[: size.column_bits], 2, "column")
        calculates1 = later(m, calculates, 1, "calculates")
        first1 = later(m, element == 0, 1, "first")

        m.submodules.raising = raising = Sweep(size, leads=False)
        m.submodules.comparing = comparing = Sweep(size, leads=True)
        m.d.comb += [
            raising.begin.eq(ends4),
            raising.given.eq(block4),
            comparing.begin.eq(later(m, raising.last, 3, "raised")),
            comparing.given.eq(raising.block),
        ]
        raise_begin = later(m, ends4, 1, "raise_begin")
        raised1 = later(m, raising.runs, 1, "raises")
        raise_first1 = later(m, raising.first, 1, "raise_first")
        compared1 = later(m, comparing.runs | comparing.lead, 1, "compares")
        lead1 = later(m, comparing.lead, 1, "lead")
        for r in range(size.rows):
            cells: Any = CellRow(size)
            place(m, platform, cells, f"cells{r}", "sanger_cells")
            row: Any = MaskRow(size)
            place(m, platform, row, f"row{r}", "sanger_mask_row")
            m.d.comb += [
                cells.given.eq(calculates1),
                cells.first.eq(first1),
                cells.move.eq(move2),
                cells.q.eq(self.query_codes[r]),
                cells.k.eq(self.key_codes),
                row.row.eq(r),
                row.given.eq(move2),
                row.product.eq(cells.total),
                row.query_scale.eq(query_scale[r]),
                row.key_scale.eq(pick(list(key_scale), column2)),
                row.shift.eq(shift2),
                row.scored.eq(move4),
                row.scored_key.eq(key4),
                row.scoring.eq(block4.rows),
                row.opens.eq(opens4),
                row.raise_begin.eq(raise_begin),
                row.raise_at.eq(raising.at),
                row.raised.eq(raised1),
                row.raise_first.eq(raise_first1),
                row.raising.eq(raising.block.rows),
                row.compare_begin.eq(comparing.lead),
                row.compare_at.eq(comparing.at),
                row.compared.eq(compared1),
                row.compare_best.eq(lead1),
                row.comparing.eq(comparing.block.rows),
                self.words[r].eq(row.word),
            ]
            self.largest.append(row.largest)
        whole = comparing.runs & comparing.at[: size.column_bits].all()
        m.d.comb += [
            self.words_given.eq(later(m, whole, 2, "whole")),
            self.part.eq(later(m, comparing.at[size.column_bits :], 2, "part")),
            self.block.eq(comparing.block),
            self.largest_given.eq(later(m, raise_begin, 1, "largest")),
            self.largest_at.eq(Cat(raising.block.rows.block, raising.block.head)),
        ]
        return m
