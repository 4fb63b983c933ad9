"""A bank of the tile's cache: set-associative, least recently used out first, one lookup in a cycle.

Tags are looked up and renewed within the cycle; the data of a hit stand at the output in the next one. A miss takes
the place of the least recently used block at once; its data are written when they come. Until then the line is
*pending*, and a lookup of it is a hit whose data are not there.

The bank knows nothing of who asks, and writes nothing back.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from siloom.rtl.machines._outerspace_size import WORD_BITS, TileSize, log2
from siloom.rtl.pick import pick


class Bank(wiring.Component):
    """One bank.

    Attributes:
        block: The block looked for.
        look: High: it becomes the most recently used of its set if it is there.
        take: High: if it is not there it takes the place of another, and is pending under ``number``.
        number: Of the request that will bring the data.
        hit: The block has a line.
        pending: Its data are not there; ``owner`` is the number under which they come.
        line: The line it has, or would take.
        evicts: A pending line would lose its place; ``owner`` is its number.
        data: What the line that was hit in the cycle before holds.
        fill: High: ``filled`` is written into ``fill_line``, which is no longer pending.
        clear: High: the bank forgets everything.
    """

    block: Signal
    look: Signal
    take: Signal
    number: Signal
    hit: Signal
    pending: Signal
    owner: Signal
    line: Signal
    evicts: Signal
    data: Signal
    fill: Signal
    fill_line: Signal
    filled: Signal
    clear: Signal

    def __init__(self, size: TileSize) -> None:
        """Sets, ways and blocks of this tile."""
        self.size = size
        lines, words = size.sets * size.ways, size.block_words * WORD_BITS
        super().__init__(
            {
                "block": In(size.block_bits),
                "look": In(1),
                "take": In(1),
                "number": In(range(size.mshrs)),
                "hit": Out(1),
                "pending": Out(1),
                "owner": Out(range(size.mshrs)),
                "line": Out(range(lines)),
                "evicts": Out(1),
                "data": Out(words),
                "fill": In(1),
                "fill_line": In(range(lines)),
                "filled": In(words),
                "clear": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Tags of a set are a word of a small memory; what a clear must reach is in registers."""
        m = Module()
        size, ways, inner = self.size, self.size.ways, log2(self.size.sets)
        entry = data.StructLayout(
            {"tag": size.block_bits - inner, "owner": range(size.mshrs), "rank": range(ways)}  # rank 0 goes first
        )
        row = data.ArrayLayout(entry, ways)
        ranks = [[{"tag": 0, "owner": 0, "rank": way} for way in range(ways)]] * size.sets
        m.submodules.tags = tags = Memory(shape=row, depth=size.sets, init=ranks)
        m.submodules.blocks = blocks = Memory(shape=len(self.data), depth=size.sets * ways, init=[])
        old, renewed = tags.read_port(domain="comb"), tags.write_port()
        store = blocks.write_port()
        load = blocks.read_port(transparent_for=[store])

        at, tag = self.block[:inner], self.block[inner:]
        valid, waits = Signal(size.sets * ways), Signal(size.sets * ways)
        here, late = Signal(ways), Signal(ways)
        m.d.comb += [
            old.addr.eq(at),
            renewed.addr.eq(at),
            here.eq(pick([valid[k * ways : (k + 1) * ways] for k in range(size.sets)], at)),
            late.eq(pick([waits[k * ways : (k + 1) * ways] for k in range(size.sets)], at)),
        ]
        matches, oldest, chosen, rank = Signal(ways), Signal(ways), Signal(ways), Signal(range(ways))
        for way in range(ways):
            m.d.comb += [
                matches[way].eq(here[way] & (old.data[way].tag == tag)),
                oldest[way].eq(old.data[way].rank == 0),
            ]
        way_number = _encoded(m, chosen)
        m.d.comb += [
            self.hit.eq(matches.any()),
            chosen.eq(Mux(self.hit, matches, oldest)),
            self.line.eq(Cat(way_number, at) if ways > 1 and not ways & (ways - 1) else at * ways + way_number),
            rank.eq(_selected(old.data, chosen, "rank")),
            self.owner.eq(_selected(old.data, chosen, "owner")),
        ]
        coming = self.fill & (self.fill_line == self.line)  # in this very cycle
        m.d.comb += [
            self.pending.eq(self.hit & (late & chosen).any() & ~coming),
            self.evicts.eq(~self.hit & (here & late & chosen).any() & ~coming),
            renewed.en.eq(self.look & (self.hit | self.take)),
            load.addr.eq(self.line),
            load.en.eq(self.look),
            self.data.eq(load.data),
            store.addr.eq(self.fill_line),
            store.data.eq(self.filled),
            store.en.eq(self.fill),
        ]
        for way in range(ways):
            before, after = old.data[way], renewed.data[way]
            fresh = chosen[way] & ~self.hit
            m.d.comb += [
                after.tag.eq(Mux(fresh, tag, before.tag)),
                after.owner.eq(Mux(fresh, self.number, before.owner)),
                after.rank.eq(Mux(chosen[way], ways - 1, before.rank - (before.rank > rank))),
            ]
        with m.If(self.fill):
            m.d.sync += waits.bit_select(self.fill_line, 1).eq(0)
        with m.If(self.look & self.take & ~self.hit):
            m.d.sync += [valid.bit_select(self.line, 1).eq(1), waits.bit_select(self.line, 1).eq(1)]
        with m.If(self.clear):
            m.d.sync += [valid.eq(0), waits.eq(0)]
        return m


def _encoded(m: Module, one_hot: Any) -> Any:
    number = Signal(range(len(one_hot)))
    for k in range(len(one_hot)):
        with m.If(one_hot[k]):
            m.d.comb += number.eq(k)
    return number


def _selected(row: Any, one_hot: Any, field: str) -> Any:
    """A field of the chosen way."""
    value: Any = 0
    for way in range(len(one_hot)):
        value = value | Mux(one_hot[way], getattr(row[way], field), 0)
    return value
