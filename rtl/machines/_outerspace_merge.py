"""A PE while it merges: the chunks of a row of the result, found from its list, become the row.

It loads the head of the row's list, then chunk by chunk a link and the chunk's first element into the merger, whose
list of heads it fills. From then on it takes what the merger pops: each pop occupies the PE for ``element`` cycles,
then the next element of the popped one's chunk is loaded and given to the merger. Where each chunk goes on is in a
table. Everything is one after the other; nothing is loaded ahead. The last entry of a row is marked.

A row with more chunks than the merger has heads is merged in *rounds*. The runs that they make are spilled, marked at
their ends as chunks are but without links, and merged when the last is written. There is one level of that: a row has
no more chunks than the square of the heads.

Rows lie one behind the other from where the PE was told; who hands out rows can see where the next one will begin.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from siloom.rtl.machines._outerspace_entries import Entries
from siloom.rtl.machines._outerspace_load import MOST, Load
from siloom.rtl.machines._outerspace_pack import burst_layout
from siloom.rtl.machines._outerspace_rows import ROW
from siloom.rtl.machines._outerspace_size import (
    DONE_BITS,
    ELEMENT_WORDS,
    END_BIT,
    PLACE_BITS,
    WORD_BITS,
    TileSize,
)
from siloom.rtl.units.chunk_merger import ChunkMerger as ChunkMergerTwin
from siloom.sim.units.chunk_merger import ChunkMerger


class MergePe(wiring.Component):
    """The merging half of a PE.

    Attributes:
        start: High for a cycle: a phase begins, with lists, results and spills from ``lists`` and so on.
        lists: See ``start``; constant while it merges, as ``results`` and ``spills`` need not be.
        results: See ``start``.
        spills: See ``start``.
        rows: Rows in, ready when the one before is done.
        place: Where the row that is taken in this cycle will begin.
        look, block, hit, found: A lookup in the PE's bank, see the cache.
        fetch: Blocks that memory must give.
        came: ``fetched`` is that block.
        fetched: See ``came``.
        stores: Bursts out.
        written: Nothing that went out is still on its way to memory.
        flush: High when there are no more rows: the last burst goes out.
        idle: Between rows, and nothing is left to be stored.
        entries: Of all rows since ``start``.
    """

    start: Signal
    lists: Signal
    results: Signal
    spills: Signal
    rows: stream.Interface
    place: Signal
    look: Signal
    block: Signal
    hit: Signal
    found: Signal
    fetch: stream.Interface
    came: Signal
    fetched: Signal
    stores: stream.Interface
    written: Signal
    flush: Signal
    idle: Signal
    entries: Signal

    def __init__(self, size: TileSize) -> None:
        """Merger and cache of this tile."""
        self.size = size
        wide = size.block_words * WORD_BITS
        super().__init__(
            {
                "start": In(1),
                "lists": In(PLACE_BITS),
                "results": In(PLACE_BITS),
                "spills": In(PLACE_BITS),
                "rows": In(stream.Signature(ROW)),
                "place": Out(PLACE_BITS),
                "look": Out(1),
                "block": Out(size.block_bits),
                "hit": In(1),
                "found": In(wide),
                "fetch": Out(stream.Signature(size.block_bits)),
                "came": In(1),
                "fetched": In(wide),
                "stores": Out(stream.Signature(burst_layout(size.burst_words))),
                "written": In(1),
                "flush": In(1),
                "idle": Out(1),
                "entries": Out(DONE_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """The merger between its loads and what is made of its pops."""
        m = Module()
        size, design = self.size, self.size.design
        merger = ChunkMergerTwin(
            ChunkMerger(
                column_bits=END_BIT,
                heads=size.heads,
                element_cycles=1,  # the others are the PE's own
                step_cycles=design.merge_step_cycles,
                add_cycles=design.add_cycles,
            )
        )
        m.submodules.merger = merger
        m.submodules.load = load = Load(size)
        wiring.connect(m, load.fetch, wiring.flipped(self.fetch))
        m.d.comb += [
            self.look.eq(load.look),
            self.block.eq(load.block),
            load.hit.eq(self.hit),
            load.found.eq(self.found),
            load.came.eq(self.came),
            load.fetched.eq(self.fetched),
        ]
        m.submodules.out = out = Entries(size)
        m.d.comb += [
            out.start.eq(self.start),
            out.results.eq(self.results),
            out.spills.eq(self.spills),
            out.flush.eq(self.flush),
            out.entries.p.column.eq(merger.o.p.column),
            out.entries.p.last.eq(merger.o.p.last),
            out.entries.p.value.eq(merger.o.p.sum),
            self.place.eq(out.place),
            self.entries.eq(out.count),
        ]
        wiring.connect(m, out.stores, wiring.flipped(self.stores))
        self._walk(m, merger, load, out)
        return m

    def _walk(self, m: Module, merger: Any, load: Load, out: Entries) -> None:
        """From the list's head to the last pop."""
        size, element = self.size, self.size.design.merge_element_cycles
        depth = 1 << (size.heads - 1).bit_length()  # whatever the merger's wires hold is an address of it
        table, starts = (Memory(shape=PLACE_BITS, depth=depth, init=[]) for _ in range(2))
        m.submodules.table, m.submodules.starts = table, starts
        goes_on, went_on = table.read_port(domain="comb"), table.write_port()
        run_at, run_from = starts.read_port(domain="comb"), starts.write_port()

        place, link, loaded = Signal(PLACE_BITS), Signal(PLACE_BITS), Signal(range(size.heads + 1))
        runs, from_runs, spilling = Signal(range(size.heads + 1)), Signal(), Signal()
        popped, takes = Signal(range(size.heads)), Signal()
        loop = Signal(range(element))
        result, beat = merger.o.p, merger.i.p
        # Of the words that were loaded: a link before the element, unless it is a run's or a refill.
        refill, linked = Signal(), Signal()
        words = load.words
        column = Mux(linked, words[1], words[0])
        m.d.comb += [
            linked.eq(~refill & ~from_runs),
            beat.column.eq(column[:END_BIT]),
            beat.end.eq(column[END_BIT]),
            beat.value.eq(Mux(linked, Cat(words[2], words[3]), Cat(words[1], words[2]))),
            goes_on.addr.eq(result.chunk),
            run_at.addr.eq(loaded),
            went_on.addr.eq(Mux(refill, popped, loaded)),
            went_on.data.eq(place + Mux(linked, MOST, ELEMENT_WORDS)),
        ]
        full = loaded == size.heads - 1
        more = Signal()  # chunks or runs behind the one at hand
        m.d.comb += [more.eq(Mux(from_runs, loaded + 1 != runs, words[0] != 0)), beat.go.eq(~more | full)]

        def begin(at: object, count: object) -> None:
            m.d.comb += [load.begin.eq(1), load.place.eq(at), load.count.eq(count)]
            m.d.sync += place.eq(at)

        with m.FSM() as fsm:
            with m.State("free"):
                m.d.comb += self.rows.ready.eq(1)
                with m.If(self.rows.valid):
                    m.d.sync += place.eq(self.lists + (self.rows.p.row << 1))
                    m.next = "head"
            with m.State("head"):
                m.d.sync += [loaded.eq(0), runs.eq(0), from_runs.eq(0), refill.eq(0), spilling.eq(0)]
                begin(place, 1)
                m.next = "list"
            with m.State("list"), m.If(load.ends):
                m.d.sync += place.eq(load.coming[0][2:])
                m.next = "next"
            with m.State("next"):  # the first element of another chunk or run
                begin(Mux(from_runs, run_at.data, place), Mux(from_runs, ELEMENT_WORDS, MOST))
                m.next = "load"
            with m.State("load"), m.If(load.ends):
                m.next = "give"
            with m.State("give"):
                m.d.comb += [merger.i.valid.eq(1), went_on.en.eq(merger.i.ready)]
                with m.If(merger.i.ready):
                    m.d.sync += [loop.eq(0), loaded.eq(loaded + ~refill)]
                    with m.If(~refill & ~from_runs):
                        m.d.sync += link.eq(words[0][2:])
                        with m.If(beat.go & more):
                            m.d.sync += spilling.eq(1)
                    m.next = "pop"
                    with m.If(~refill & ~beat.go):
                        m.next = "walk"
            with m.State("walk"), m.If(merger.i.ready):
                # The head has found its place; the next one is looked up in this cycle.
                begin(Mux(from_runs, run_at.data, link), Mux(from_runs, ELEMENT_WORDS, MOST))
                m.next = "load"
            with m.State("pop"), m.If(merger.o.valid):
                # A row's last pop has nothing to look up behind it: the next row's look-up takes that cycle.
                over = (loop == element - 1) | (result.last & (loop == element - 2))
                m.d.comb += [
                    takes.eq(over & (~result.entry | out.entries.ready)),
                    merger.o.ready.eq(takes),
                    out.entries.valid.eq(over & result.entry),
                ]
                with m.If(~over):
                    m.d.sync += loop.eq(loop + 1)
                with m.If(takes):
                    m.d.sync += [loop.eq(0), refill.eq(result.refill), popped.eq(result.chunk)]
                    with m.If(result.refill):
                        begin(goes_on.data, ELEMENT_WORDS)
                        m.next = "load"
                    with m.Elif(result.last):
                        m.d.sync += [loaded.eq(0), place.eq(link)]
                        with m.If(~spilling):
                            m.d.comb += self.rows.ready.eq(1)
                            m.next = "free"
                            with m.If(self.rows.valid):
                                m.d.sync += place.eq(self.lists + (self.rows.p.row << 1))
                                m.next = "head"
                        with m.Else():
                            m.d.comb += run_from.en.eq(1)
                            m.d.sync += runs.eq(runs + 1)
                            m.next = "next"
                            with m.If(link == 0):
                                m.next = "spill"
            with m.State("spill"):
                # The last run must be in memory before it is read.
                m.d.comb += out.level_ends.eq(1)
                with m.If(out.stored & self.written):
                    m.d.sync += [from_runs.eq(1), spilling.eq(0)]
                    m.next = "next"
        first = Signal(PLACE_BITS)  # of this run
        m.d.comb += [
            out.spilling.eq(spilling),
            run_from.addr.eq(runs),
            run_from.data.eq(first),
            self.idle.eq(fsm.ongoing("free") & out.stored),
        ]
        with m.If(fsm.ongoing("head")):
            m.d.sync += first.eq(out.spilled)
        with m.If(run_from.en):
            m.d.sync += first.eq(out.spilled + ELEMENT_WORDS)  # behind the entry that is stored in this cycle
