"""A PE while it multiplies: an element of A times a row of B, block by block, into a chunk in memory.

The PE works on one chunk. Its *asking* side walks over the row's blocks: it asks the cache for one, waits as many
cycles as elements end in it, and asks for the next, as long as the queue of outstanding blocks has room. A block that
comes lies in its place of the queue until it has been multiplied; blocks may come out of order. The *multiplying* side
takes elements out of the oldest block, one in a cycle, through the multiplier into bursts.

The first word of a chunk is a link, what the head of its row's list was before. It comes from memory, and the burst
that it belongs to waits for it aside while all others go out. A PE that has too many such bursts takes no new chunk.

The next chunk may begin in the cycle after the last element went into the multiplier.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from siloom.rtl.machines._outerspace_pack import Pack, burst_layout
from siloom.rtl.machines._outerspace_size import (
    ELEMENT_WORDS,
    END_BIT,
    PLACE_BITS,
    STORES,
    WORD_BITS,
    TileSize,
    log2,
)
from siloom.rtl.machines._outerspace_unpack import Unpack
from siloom.rtl.pick import pick
from siloom.rtl.units.outer_multiplier import OuterMultiplier as OuterMultiplierTwin
from siloom.sim.units.outer_multiplier import OuterMultiplier

WORK = data.StructLayout({"factor": 64, "begin": PLACE_BITS, "count": PLACE_BITS, "chunk": PLACE_BITS})
"""An element of A, the first word and the elements of the row of B that it meets, and where its chunk begins."""

LATENCY = 4
"""Of the multiplier."""


class MultiplyPe(wiring.Component):
    """The multiplying half of a PE.

    Attributes:
        work: Chunks in.
        lookup: Blocks asked of the cache; taken where the block is there, on its way, or asked for.
        refused, freed, present, number, bus, arrives, arrived: See the cache.
        link: A link has come, ``linked``; they come in the order of chunks.
        linked: See ``link``.
        stores: Bursts out.
        idle: Nothing is left of any chunk.
    """

    work: stream.Interface
    lookup: stream.Interface
    refused: Signal
    freed: Signal
    present: Signal
    number: Signal
    bus: Signal
    arrives: Signal
    arrived: Signal
    link: Signal
    linked: Signal
    stores: stream.Interface
    idle: Signal

    def __init__(self, size: TileSize) -> None:
        """Queue and multiplier of this tile."""
        self.size = size
        super().__init__(
            {
                "work": In(stream.Signature(WORK)),
                "lookup": Out(stream.Signature(size.block_bits)),
                "refused": In(1),
                "freed": In(1),
                "present": In(1),
                "number": In(range(size.mshrs)),
                "bus": In(size.block_words * WORD_BITS),
                "arrives": In(1),
                "arrived": In(range(size.mshrs)),
                "link": In(1),
                "linked": In(WORD_BITS),
                "stores": Out(stream.Signature(burst_layout(size.burst_words))),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Both sides, and the way out."""
        m = Module()
        size, work = self.size, self.work.p
        m.submodules.unpack = unpack = Unpack(size.block_words, ELEMENT_WORDS)
        m.submodules.places = places = SyncFIFO(width=PLACE_BITS, depth=size.links)
        begins, closes, packed = Signal(), Signal(), Signal()
        # Every chunk in the multiplier has an element there.
        open_chunks, under_way = Signal(range(LATENCY + 3)), Signal(range(size.links + 1))
        ends = unpack.items.valid & unpack.items.ready & unpack.items.p.last
        m.d.comb += [
            self.work.ready.eq(((unpack.left == 0) | ends) & (under_way != size.links)),
            begins.eq(self.work.valid & self.work.ready),
            unpack.begin.eq(begins),
            unpack.offset.eq(work.begin),
            unpack.count.eq(work.count),
            places.w_data.eq(work.chunk),
            places.w_en.eq(begins),
        ]
        self._ask(m, begins, unpack)
        linked = self._multiply(m, begins, unpack, places, closes, packed)
        m.d.sync += [
            open_chunks.eq(open_chunks + begins - closes),
            under_way.eq(under_way + begins - linked),
        ]
        m.d.comb += self.idle.eq((open_chunks == 0) & (under_way == 0) & packed)
        return m

    def _ask(self, m: Module, begins: Signal, unpack: Unpack) -> None:
        """The asking side and the queue of outstanding blocks."""
        size, work = self.size, self.work.p
        wide, places = size.block_words, size.outstanding
        # ``start`` is where, from two words before the block, the next element begins that does not end before it.
        block, start, left = Signal(size.block_bits), Signal(range(wide + 2)), Signal(PLACE_BITS)
        pause, stuck, used = Signal(range(wide)), Signal(), Signal(range(places + 1))
        newest, oldest = Signal(range(places)), Signal(range(places))
        takes, gives = Signal(), Signal()
        whole, fits = Signal(range(wide)), Signal(range(wide))  # elements that end in this block
        with m.Switch(start):
            for k in range(wide + 2):
                with m.Case(k):
                    m.d.comb += fits.eq((wide + 2 - k) // ELEMENT_WORDS)
        m.d.comb += [
            whole.eq(Mux(left < fits, left, fits)),
            self.lookup.valid.eq((left != 0) & (pause == 0) & ~stuck & (used != places)),
            self.lookup.payload.eq(block),
            takes.eq(self.lookup.valid & self.lookup.ready),
            gives.eq(unpack.blocks.valid & unpack.blocks.ready),
        ]
        m.d.sync += used.eq(used + takes - gives)
        with m.If(pause != 0):
            m.d.sync += pause.eq(pause - 1)
        with m.If(self.freed):
            m.d.sync += stuck.eq(0)
        with m.Elif(self.refused):
            m.d.sync += stuck.eq(1)
        with m.If(takes):
            m.d.sync += [
                block.eq(block + 1),
                left.eq(left - whole),
                start.eq(start + ELEMENT_WORDS * fits - wide),
                pause.eq(Mux(whole > 1, whole - 1, 0)),
                newest.eq(_next(newest, places)),
            ]
        with m.If(gives):
            m.d.sync += oldest.eq(_next(oldest, places))
        with m.If(begins):
            m.d.sync += [
                block.eq(work.begin[log2(wide) :]),
                start.eq(work.begin[: log2(wide)] + 2),
                left.eq(work.count),
                pause.eq(0),
            ]

        # Places of the queue: what is there, and under which number the others come.
        m.submodules.queue = queue = Memory(shape=wide * WORD_BITS, depth=places, init=[])
        write, read = queue.write_port(), queue.read_port(domain="comb")
        there, waits = Signal(places), Signal(places)
        numbers = [Signal(range(size.mshrs), name=f"number{k}") for k in range(places)]
        lands, landing = Signal(), Signal(range(places))
        m.d.sync += [lands.eq(takes & self.present), landing.eq(newest)]
        m.d.comb += [write.data.eq(self.bus), write.addr.eq(landing), write.en.eq(lands)]
        with m.If(gives):
            m.d.sync += there.bit_select(oldest, 1).eq(0)
        with m.If(lands):
            m.d.sync += there.bit_select(landing, 1).eq(1)
        for k in range(places):
            with m.If(self.arrives & waits[k] & (numbers[k] == self.arrived)):
                m.d.comb += [write.addr.eq(k), write.en.eq(1)]
                m.d.sync += [there[k].eq(1), waits[k].eq(0)]
            with m.If(takes & ~self.present & (newest == k)):
                m.d.sync += [waits[k].eq(1), numbers[k].eq(self.number)]
        m.d.comb += [
            read.addr.eq(oldest),
            unpack.blocks.payload.eq(read.data),
            unpack.blocks.valid.eq(pick(list(there), oldest)),
        ]

    def _multiply(
        self, m: Module, begins: Signal, unpack: Unpack, places: SyncFIFO, closes: Signal, packed: Signal
    ) -> Signal:
        """The multiplying side; ``packed`` when nothing else is to be stored.

        Returns when a chunk's first burst has its link and goes out.
        """
        size = self.size
        m.submodules.multiplier = multiplier = OuterMultiplierTwin(
            # Beside the column go whether the element is its chunk's last one, and its first.
            OuterMultiplier(index_bits=WORD_BITS + 1, latency_cycles=LATENCY)
        )
        m.submodules.pack = pack = Pack(size.burst_words, linked=True)
        m.submodules.rest = rest = SyncFIFO(width=len(pack.bursts.payload.as_value()), depth=STORES)
        m.submodules.firsts = firsts = SyncFIFO(width=rest.width, depth=size.links)
        m.submodules.links = links = SyncFIFO(width=WORD_BITS, depth=size.links)
        factor, first = Signal(64), Signal()
        item, product, element = unpack.items.p, multiplier.o.p, pack.elements.p
        with m.If(unpack.items.valid & unpack.items.ready):
            m.d.sync += first.eq(0)
        with m.If(begins):
            m.d.sync += [factor.eq(self.work.p.factor), first.eq(1)]
        m.d.comb += [
            multiplier.i.valid.eq(unpack.items.valid),
            unpack.items.ready.eq(multiplier.i.ready),
            multiplier.i.p.first.eq(first),
            multiplier.i.p.factor.eq(factor),
            multiplier.i.p.index.eq(Cat(item.words[0][:END_BIT], item.last, first)),
            multiplier.i.p.value.eq(Cat(item.words[1], item.words[2])),
            pack.elements.valid.eq(multiplier.o.valid),
            multiplier.o.ready.eq(pack.elements.ready),
            element.words[0].eq(product.index),
            Cat(element.words[1], element.words[2]).eq(product.product),
            element.opens.eq(product.index[WORD_BITS]),
            element.closes.eq(product.index[END_BIT]),
            element.place.eq(places.r_data),
            places.r_en.eq(pack.elements.valid & pack.elements.ready & element.opens),
            closes.eq(pack.elements.valid & pack.elements.ready & element.closes),
        ]

        # A burst without its link goes aside, the others straight on.
        burst, store = pack.bursts.p, self.stores.p
        aside: Any = data.View(burst_layout(size.burst_words), firsts.r_data)
        m.d.comb += [
            firsts.w_data.eq(burst.as_value()),
            rest.w_data.eq(burst.as_value()),
            firsts.w_en.eq(pack.bursts.valid & burst.unlinked),
            rest.w_en.eq(pack.bursts.valid & ~burst.unlinked),
            pack.bursts.ready.eq(Mux(burst.unlinked, firsts.w_rdy, rest.w_rdy)),
            links.w_data.eq(self.linked),
            links.w_en.eq(self.link),
        ]
        whole = firsts.r_rdy & links.r_rdy
        m.d.comb += [self.stores.valid.eq(whole | rest.r_rdy), store.as_value().eq(rest.r_data)]
        m.d.comb += rest.r_en.eq(self.stores.ready & ~whole)
        with m.If(whole):
            m.d.comb += [
                store.as_value().eq(firsts.r_data),
                firsts.r_en.eq(self.stores.ready),
                links.r_en.eq(self.stores.ready),
            ]
            for k in range(size.burst_words):
                before = aside.mask[:k].any() if k else Const(0, 1)
                with m.If(aside.mask[k] & ~before):
                    m.d.comb += store.words[k * WORD_BITS : (k + 1) * WORD_BITS].eq(links.r_data)
        gone = Signal()
        m.d.comb += [gone.eq(whole & self.stores.ready), packed.eq(pack.empty & ~rest.r_rdy)]
        return gone


def _next(place: Signal, count: int) -> Any:
    return Mux(place == count - 1, 0, place + 1)
