"""Entries of the product on their way to memory: each behind the one before, those of spilled runs elsewhere.

A part of a burst that a row leaves over waits for the next row. That of a level of runs goes out when the level ends,
and the next level's runs begin in a block of their own: the cache may keep what is in the last block now.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from siloom.rtl.machines._outerspace_pack import Pack, burst_layout
from siloom.rtl.machines._outerspace_size import (
    DONE_BITS,
    ELEMENT_WORDS,
    END_BIT,
    PLACE_BITS,
    STORES,
    TileSize,
    log2,
)

ENTRY = data.StructLayout({"column": END_BIT, "last": 1, "value": 64})
"""An entry; ``last`` ends a row or a run."""


class Entries(wiring.Component):
    """Where a merging PE's entries go.

    Attributes:
        start: High for a cycle: from now on behind the words ``results`` and ``spills``, a block's first.
        results: See ``start``.
        spills: See ``start``.
        entries: Entries in.
        spilling: They are a run's.
        level_ends: High while nothing spills: no run will follow before runs are read.
        flush: High when there are no more rows: the last burst goes out.
        place: Where the entry behind the one of this cycle will go, if it is a row's.
        spilled: Where the next one of a run goes.
        stored: No run's entry is here, and no row's but in a burst that is not full; with ``flush`` none at all.
        count: Entries of rows since ``start``.
        stores: Bursts out.
    """

    start: Signal
    results: Signal
    spills: Signal
    entries: stream.Interface
    spilling: Signal
    level_ends: Signal
    flush: Signal
    place: Signal
    spilled: Signal
    stored: Signal
    count: Signal
    stores: stream.Interface

    def __init__(self, size: TileSize) -> None:
        """Bursts of this tile."""
        self.size = size
        super().__init__(
            {
                "start": In(1),
                "results": In(PLACE_BITS),
                "spills": In(PLACE_BITS),
                "entries": In(stream.Signature(ENTRY)),
                "spilling": In(1),
                "level_ends": In(1),
                "flush": In(1),
                "place": Out(PLACE_BITS),
                "spilled": Out(PLACE_BITS),
                "stored": Out(1),
                "count": Out(DONE_BITS),
                "stores": Out(stream.Signature(burst_layout(size.burst_words))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Rows and runs are packed apart, and leave through one queue."""
        m = Module()
        size, entry, inner = self.size, self.entries.p, log2(self.size.block_words)
        m.submodules.rows = rows = Pack(size.burst_words, linked=False)
        m.submodules.runs = runs = Pack(size.burst_words, linked=False)
        m.submodules.out = out = SyncFIFO(width=len(rows.bursts.payload.as_value()), depth=STORES)
        at, opens_row, opens_run, moves = Signal(PLACE_BITS), Signal(), Signal(), Signal()
        for side, chosen, opens, place in (
            (rows, ~self.spilling, opens_row, at),
            (runs, self.spilling, opens_run, self.spilled),
        ):
            element = side.elements.p
            m.d.comb += [
                side.elements.valid.eq(self.entries.valid & chosen),
                element.words[0].eq(Cat(entry.column, entry.last)),
                Cat(element.words[1], element.words[2]).eq(entry.value),
                element.opens.eq(opens),
                element.place.eq(place),
            ]
            with m.If(side.elements.valid & side.elements.ready):
                m.d.sync += [opens.eq(0), place.eq(place + ELEMENT_WORDS)]
        m.d.comb += [
            self.entries.ready.eq(Mux(self.spilling, runs.elements.ready, rows.elements.ready)),
            moves.eq(rows.elements.valid & rows.elements.ready),
            self.place.eq(Mux(moves, at + ELEMENT_WORDS, at)),
            rows.flush.eq(self.flush),
            runs.flush.eq(self.level_ends),
            out.w_en.eq(rows.bursts.valid | runs.bursts.valid),
            out.w_data.eq(Mux(rows.bursts.valid, rows.bursts.payload.as_value(), runs.bursts.payload.as_value())),
            rows.bursts.ready.eq(out.w_rdy),
            runs.bursts.ready.eq(out.w_rdy),
            self.stores.valid.eq(out.r_rdy),
            self.stores.payload.as_value().eq(out.r_data),
            out.r_en.eq(self.stores.ready),
            self.stored.eq(runs.empty & ~out.r_rdy & (rows.empty | ~self.flush)),
        ]
        with m.If(moves):
            m.d.sync += self.count.eq(self.count + 1)
        with m.If(self.level_ends):
            m.d.sync += opens_run.eq(1)
            with m.If(runs.empty):
                m.d.sync += self.spilled.eq((self.spilled + size.block_words - 1)[inner:] << inner)
        with m.If(self.start):
            m.d.sync += [
                at.eq(self.results),
                self.spilled.eq(self.spills),
                opens_row.eq(1),
                opens_run.eq(1),
                self.count.eq(0),
            ]
        return m
