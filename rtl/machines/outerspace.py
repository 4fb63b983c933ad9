"""OuterSPACE in hardware: one tile with its controllers and one memory port.

A job says how large A is and where everything lies in memory: A by columns, B by rows, both with pointers, empty lists
of chunks, and room. The tile multiplies, and when all is in memory it merges; a beat says that the product is in memory
and how many entries it has. Both phases share the cache, the memory port and the way of all stores to it:

- *multiply*: the controller walks over A and hands out elements to PEs that are free; the tile's linker swaps the heads
  of lists; PEs read B through the shared cache and write chunks.
- *merge*: the controller hands out rows; half the PEs, or as many as the design says, each with a bank of the cache for
  itself, merge the chunks of a row and write it behind the row before; the controller writes where each row begins.

The product lies in as many slices as PEs merge. A row begins at its pointer and ends at the entry whose column has its
highest bit set; a row without entries has the pointer zero.

There is no other tile, no second level of caches and no central controller: pieces of columns, which are handed to
tiles, are walked through in order here. Products are SpGEMM's; there are no dot products and no conversion of A.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from siloom.models.outerspace import OuterSpaceDesign
from siloom.rtl.machines._outerspace_cache import Cache
from siloom.rtl.machines._outerspace_columns import JOB_LAYOUT, PIECE, Columns
from siloom.rtl.machines._outerspace_dispatch import Dispatch
from siloom.rtl.machines._outerspace_links import Links
from siloom.rtl.machines._outerspace_merge import MergePe
from siloom.rtl.machines._outerspace_multiply import MultiplyPe
from siloom.rtl.machines._outerspace_pack import burst_layout
from siloom.rtl.machines._outerspace_port import MemoryPort
from siloom.rtl.machines._outerspace_rows import ROW, Rows
from siloom.rtl.machines._outerspace_size import DONE_BITS, PLACE_BITS, WORD_BITS, TileSize
from siloom.rtl.shared import place
from siloom.rtl.turns import Turns


@dataclass(frozen=True)
class _Shared:
    """What both phases use: the job, and parts of the tile."""

    job: Any
    port: MemoryPort
    cache: Cache
    turns: Turns
    rows: Rows


class OuterSpaceTile(wiring.Component):
    """A tile.

    Attributes:
        job: Where the operands are and where the product goes; taken when the product before is done.
        done: The entries of the product, when all of it is in memory.
        mem_req: Requests to memory, a burst each: its number, a bit for a write, data, a bit for each word to write.
        mem_rsp: What was read, in order.
    """

    job: stream.Interface
    done: stream.Interface
    mem_req: stream.Interface
    mem_rsp: stream.Interface

    def __init__(self, design: OuterSpaceDesign) -> None:
        """A machine with one tile; ``rtl/trials/outerspace.py`` says what else it must be."""
        self.size = size = TileSize(design)
        super().__init__(
            {
                "job": In(stream.Signature(JOB_LAYOUT)),
                "done": Out(stream.Signature(DONE_BITS)),
                "mem_req": Out(stream.Signature(size.request_bits)),
                "mem_rsp": In(stream.Signature(size.burst_words * WORD_BITS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Parts, and the phases of a job."""
        m = Module()
        size = self.size
        m.submodules.port = port = MemoryPort(size)
        m.submodules.cache = cache = Cache(size)
        m.submodules.turns = turns = Turns(burst_layout(size.burst_words), size.pes + size.mergers + 1)
        wiring.connect(m, port.req, wiring.flipped(self.mem_req))
        wiring.connect(m, wiring.flipped(self.mem_rsp), port.rsp)
        wiring.connect(m, cache.misses, port.blocks[0])
        wiring.connect(m, turns.chosen, port.writes)
        m.d.comb += [cache.block.eq(port.block), cache.for_block.eq(port.for_block), port.hold.eq(cache.hold)]

        job: Any = Signal(JOB_LAYOUT)
        begins, starts, flush = Signal(), Signal(), Signal()
        m.submodules.rows = rows = Rows(size)
        shared = _Shared(job, port, cache, turns, rows)
        multiplied = self._multiplying(m, platform, begins, shared)
        merged, entries = self._merging(m, platform, starts, flush, shared)
        m.d.comb += self.done.payload.eq(entries)
        with m.FSM():
            with m.State("rest"):
                m.d.comb += self.job.ready.eq(1)
                with m.If(self.job.valid):
                    m.d.sync += job.eq(self.job.payload)
                    m.next = "begin"
            with m.State("begin"):
                m.d.comb += [begins.eq(1), cache.clear.eq(1)]
                m.next = "multiply"
            with m.State("multiply"), m.If(multiplied & port.idle):
                m.d.comb += [starts.eq(1), cache.clear.eq(1)]
                m.next = "merge"
            with m.State("merge"):
                m.d.comb += cache.merging.eq(1)
                with m.If(merged):
                    m.next = "flush"
            with m.State("flush"):
                m.d.comb += [cache.merging.eq(1), flush.eq(1)]
                with m.If(merged & port.idle):
                    m.next = "done"
            with m.State("done"):
                m.d.comb += self.done.valid.eq(1)
                with m.If(self.done.ready):
                    m.next = "rest"
        return m

    def _multiplying(self, m: Module, platform: object, begins: Signal, shared: _Shared) -> Signal:
        """Controller, linker and PEs. Returns whether nothing is left to do."""
        size, job, port, cache = self.size, shared.job, shared.port, shared.cache
        m.submodules.columns = columns = Columns(size)
        m.submodules.links = links = Links(size)
        m.submodules.elements = elements = Dispatch(PIECE, size.pes, size.design.dispatch_cycles)
        pes = [MultiplyPe(size) for _ in range(size.pes)]
        for k in range(len(columns.asks)):
            wiring.connect(m, columns.asks[k], port.reads[k])
        wiring.connect(m, columns.work, elements.work)
        wiring.connect(m, links.swaps, port.swaps)
        m.d.comb += [
            columns.begin.eq(begins),
            columns.job.eq(job),
            columns.came.eq(port.for_read),
            columns.burst.eq(port.burst),
            elements.first.eq(begins),
            elements.open.eq(links.room),
            links.given.eq(elements.gives),
            links.chunk.eq(elements.piece.work.chunk),
            links.row.eq(elements.piece.row),
            links.to.eq(elements.to),
            links.lists.eq(job.lists),
            links.came.eq(port.for_swap),
            links.burst.eq(port.burst),
            shared.rows.mark.eq(elements.gives),
            shared.rows.marked.eq(elements.piece.row),
        ]
        for k, pe in enumerate(pes):
            place(m, platform, pe, f"multiply{k}", "outerspace_multiply_pe")
            given = elements.given[k]
            m.d.comb += [
                pe.work.valid.eq(given.valid),
                pe.work.payload.eq(given.p.work),
                given.ready.eq(pe.work.ready),
                cache.lookups[k].valid.eq(pe.lookup.valid),
                cache.lookups[k].payload.eq(pe.lookup.payload),
                pe.lookup.ready.eq(cache.lookups[k].ready),
                pe.refused.eq(cache.refused[k]),
                pe.freed.eq(cache.freed),
                pe.present.eq(cache.present),
                pe.number.eq(cache.number),
                pe.bus.eq(cache.bus),
                pe.arrives.eq(cache.arrives),
                pe.arrived.eq(cache.arrived),
                pe.link.eq(links.link[k]),
                pe.linked.eq(links.linked),
            ]
            wiring.connect(m, pe.stores, shared.turns.asks[k])
        idle = Signal()
        m.d.comb += idle.eq(columns.done & elements.empty & links.idle & Cat(pe.idle for pe in pes).all())
        return idle

    def _merging(
        self, m: Module, platform: object, starts: Signal, flush: Signal, shared: _Shared
    ) -> tuple[Signal, Signal]:
        """Controller and PEs. Returns whether nothing is left to do, and the entries of all rows."""
        size, job, port, cache, rows = self.size, shared.job, shared.port, shared.cache, shared.rows
        m.submodules.row_hand = hand = Dispatch(ROW, size.mergers, size.design.dispatch_cycles)
        pes = [MergePe(size) for _ in range(size.mergers)]
        wiring.connect(m, rows.work, hand.work)
        wiring.connect(m, rows.stores, shared.turns.asks[size.pes + size.mergers])
        m.d.comb += [
            rows.begin.eq(starts),
            rows.count.eq(job.rows),
            rows.pointers.eq(job.pointers),
            rows.given.eq(hand.gives),
            rows.number.eq(hand.piece.row),
            rows.rests.eq(hand.empty),
            hand.first.eq(starts),
            hand.open.eq(rows.room),
        ]
        for k, pe in enumerate(pes):
            place(m, platform, pe, f"merge{k}", "outerspace_merge_pe")
            wiring.connect(m, hand.given[k], pe.rows)
            wiring.connect(m, pe.fetch, port.blocks[1 + k])
            wiring.connect(m, pe.stores, shared.turns.asks[size.pes + k])
            m.d.comb += [
                pe.start.eq(starts),
                pe.lists.eq(job.lists),
                pe.results.eq((job.results + k * job.slice)[:PLACE_BITS]),
                pe.spills.eq((job.spills + k * job.slice)[:PLACE_BITS]),
                cache.private[k].eq(pe.block),
                cache.look[k].eq(pe.look),
                pe.hit.eq(cache.hits[k]),
                pe.found.eq(cache.found[k]),
                pe.came.eq(port.for_block[1 + k]),
                pe.fetched.eq(port.block),
                pe.written.eq(port.written),
                pe.flush.eq(flush),
            ]
            with m.If(hand.to == k):
                m.d.comb += rows.place.eq(pe.place)
        idle, entries = Signal(), Signal(DONE_BITS)
        m.d.comb += [
            idle.eq(rows.done & hand.empty & Cat(pe.idle for pe in pes).all()),
            entries.eq(sum(pe.entries for pe in pes)),
        ]
        return idle, entries


TWIN = OuterSpaceTile
