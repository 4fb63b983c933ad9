"""Packing: rows' words of mask bits become sub-rows, which wait here, part by part, for their passes.

As many rows as a sub-row has places share a packer. That is enough: their words come once in the time of a
tile's sweep, in which a packer gives as many sub-rows as there can be of them. A packer's sub-rows of one part lie one
behind the other in a memory of its own, those of two heads in its halves.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal
from amaranth.lib.memory import Memory

from siloom.rtl.machines._sanger_layouts import sub_row_layout
from siloom.rtl.machines._sanger_mask_row import block_layout
from siloom.rtl.machines._sanger_size import SangerSize
from siloom.rtl.pick import pick
from siloom.rtl.shared import place
from siloom.rtl.units.pack_split import PackSplit
from siloom.rtl.unread import unread


class Pack(Elaboratable):
    """All packers and what they gave.

    Attributes:
        given: In: the next cycle has ``words`` of all rows, of ``part`` and ``block``.
        complete: The head's last sub-row will be in its memory in the next cycle.
        half, at_part, at_group, at: In: a sub-row that is read; it lies in ``sub_row`` a cycle later.
        filled: Sub-rows of that part and group.
        some: Whether a part has any sub-row of a group, for every half, part and group.
    """

    def __init__(self, size: SangerSize) -> None:
        self.size = size
        self.given: Any = Signal()
        self.words = [Signal(size.columns, name=f"word{r}") for r in range(size.rows)]
        self.part: Any = Signal(size.part_bits)
        self.block: Any = Signal(block_layout(size))
        self.complete: Any = Signal()
        self.count_bits = (size.blocks * size.columns).bit_length()
        self.half: Any = Signal()
        self.at_part: Any = Signal(size.part_bits)
        self.at_group: Any = Signal(range(max(2, size.groups)))
        self.at: Any = Signal(self.count_bits)
        self.sub_row: Any = Signal(sub_row_layout(size))
        self.filled: Any = Signal(self.count_bits)
        self.some = [
            [Signal(size.groups, name=f"some{half}_{part}") for part in range(size.parts)] for half in range(2)
        ]

    def elaborate(self, platform: object) -> Module:
        """A packer and a memory for each group; a part's sub-rows are counted where it has begun."""
        m = Module()
        size = self.size
        part: Any = Signal(size.part_bits)
        block: Any = Signal(block_layout(size))
        with m.If(self.given):
            m.d.sync += [part.eq(self.part), block.eq(self.block)]
            with m.If(self.block.first & (self.part == 0)):
                for half in range(2):
                    with m.If(self.block.head == half):
                        m.d.sync += [bits.eq(0) for bits in self.some[half]]
        # The packers have a tile's time for the last part; the last sub-row is written a cycle after that.
        wait: Any = Signal(range(size.columns + 3))
        with m.If(self.given & self.block.last & (self.part + 1 == self.block.parts)):
            m.d.sync += wait.eq(size.columns + 2)
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        m.d.comb += self.complete.eq(wait == 1)
        unread(m, [self.at[self.count_bits - 1 :]])
        group1: Any = Signal(self.at_group.shape())
        m.d.sync += group1.eq(self.at_group)
        sub_rows, counts = [], []
        for g in range(size.groups):
            sub_row, count = self._group(m, platform, g, part, block)
            sub_rows.append(sub_row)
            counts.append(count)
        m.d.comb += [self.sub_row.eq(pick(sub_rows, group1)), self.filled.eq(pick(counts, self.at_group))]
        return m

    def _group(self, m: Module, platform: object, g: int, part: Any, block: Any) -> tuple[Any, Any]:
        """A packer's way: word by word, each with what it is of."""
        size = self.size
        words = self.words[g * size.places : (g + 1) * size.places]
        unit: Any = PackSplit(size.pack)
        place(m, platform, unit, f"packer{g}", "sanger_packer")
        busy: Any = Signal(name=f"busy{g}")
        at: Any = Signal(range(max(2, len(words))), name=f"at{g}")
        word: Any = Signal(size.columns, name=f"word_of{g}")
        row: Any = Signal(max(1, size.row_bits), name=f"row_of{g}")
        query: Any = Signal(size.query_bits, name=f"query{g}")
        of_part: Any = Signal(size.part_bits, name=f"part{g}")
        of_half: Any = Signal(name=f"half{g}")
        m.d.comb += [
            word.eq(pick(words, at)),
            row.eq(g * size.places + at),
            unit.i.valid.eq(busy),
            unit.i.p.row.eq(word),
            unit.o.ready.eq(1),
        ]
        with m.If(busy & unit.i.ready):
            m.d.sync += [
                at.eq(Mux(at == len(words) - 1, 0, at + 1)),
                busy.eq(at != len(words) - 1),
                query.eq(Cat(row[: size.row_bits], block.rows.block)),
                of_part.eq(part),
                of_half.eq(block.head),
            ]
        with m.If(self.given):
            m.d.sync += busy.eq(1)

        depth_bits = self.count_bits - 1
        memory = Memory(shape=sub_row_layout(size), depth=2 << (size.part_bits + depth_bits), init=[])
        counted = Memory(shape=self.count_bits, depth=2 << size.part_bits, init=[])
        m.submodules[f"sub_rows{g}"], m.submodules[f"counted{g}"] = memory, counted
        write, read = memory.write_port(), memory.read_port()
        note, here, asked = counted.write_port(), counted.read_port(domain="comb"), counted.read_port(domain="comb")
        some: Any = Signal(name=f"some_of{g}")
        rows = [pick([bits[g] for bits in self.some[half]], of_part) for half in range(2)]
        filled: Any = Signal(self.count_bits, name=f"filled{g}")
        m.d.comb += [
            some.eq(Mux(of_half, rows[1], rows[0])),
            here.addr.eq(Cat(of_part, of_half)),
            filled.eq(Mux(some, here.data, 0)),
            note.addr.eq(here.addr),
            note.data.eq(filled + 1),
            note.en.eq(unit.o.valid),
            write.addr.eq(Cat(filled[:depth_bits], of_part, of_half)),
            write.en.eq(unit.o.valid),
            write.data.columns.eq(unit.o.p.column),
            write.data.count.eq(unit.o.p.count),
            write.data.query.eq(query),
            read.addr.eq(Cat(self.at[:depth_bits], self.at_part, self.half)),
            asked.addr.eq(Cat(self.at_part, self.half)),
        ]
        with m.If(unit.o.valid):
            for half in range(2):
                for p, bits in enumerate(self.some[half]):
                    with m.If((of_half == half) & (of_part == p)):
                        m.d.sync += bits[g].eq(1)
        return read.data, asked.data


def lowest(m: Module, name: str, bits: Any, width: int) -> Any:
    """The number of the lowest bit that is set; junk of none."""
    found: Any = Signal(width, name=name)
    m.d.comb += found.eq(0)
    for number in reversed(range(len(bits))):
        with m.If(bits[number]):
            m.d.comb += found.eq(Const(number, width))
    return found
