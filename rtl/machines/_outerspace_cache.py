"""The tile's cache in its two roles: one cache for all PEs while they multiply, a private bank for each that merges.

Multiplying, one PE looks up in a cycle, the one with the lowest number first; the highest bits of a set's number
choose the bank. A block that is there is on the bus to the PEs in the next cycle. One that is not is asked for under
the number of a free miss register; who finds the line pending waits for the same number. Memory answers in order, so
registers are taken and freed in turn. A lookup that finds no free register is *refused*, and the PE comes again when
one is free.

The bus carries one block in a cycle. A hit goes before a block from memory, which waits for a cycle.

Merging, each bank answers its own PE, and takes what memory brings for it into the line that missed last.
"""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from siloom.rtl.machines._outerspace_bank import Bank
from siloom.rtl.machines._outerspace_size import WORD_BITS, TileSize, log2
from siloom.rtl.pick import pick
from siloom.rtl.shared import place


class Cache(wiring.Component):
    """The cache of a tile.

    Attributes:
        merging: High in the merge phase.
        clear: High: everything is forgotten.
        lookups: Of each multiplying PE, a block; taken when it is looked up and not refused.
        refused: For each multiplying PE, in the cycle of its lookup: it found no free miss register.
        freed: High: a miss register became free.
        present: In the cycle of a lookup: its block will be on the bus in the next cycle.
        number: In the cycle of a lookup: of the miss register whose block it waits for.
        bus: A block.
        arrives: The block on the bus came from memory, under ``arrived``.
        arrived: See ``arrives``.
        misses: Blocks to be read.
        block: The block that memory brings; ``for_block`` says for whom: the shared cache first, then each bank.
        hold: The shared cache cannot take a block in this cycle.
        private: Of each merging PE, the block looked up; ``look`` is high in that cycle.
        look: See ``private``.
        hits: Of each merging PE, whether the block is there, in that cycle.
        found: Of each merging PE, the block that was hit in the cycle before.
    """

    merging: Signal
    clear: Signal
    lookups: Sequence[stream.Interface]
    refused: Signal
    freed: Signal
    present: Signal
    number: Signal
    bus: Signal
    arrives: Signal
    arrived: Signal
    misses: stream.Interface
    block: Signal
    for_block: Signal
    hold: Signal
    private: Sequence[Signal]
    look: Signal
    hits: Signal
    found: Sequence[Signal]

    def __init__(self, size: TileSize) -> None:
        """As many banks as PEs that merge."""
        self.size = size
        wide = size.block_words * WORD_BITS
        super().__init__(
            {
                "merging": In(1),
                "clear": In(1),
                "lookups": In(stream.Signature(size.block_bits)).array(size.pes),
                "refused": Out(size.pes),
                "freed": Out(1),
                "present": Out(1),
                "number": Out(range(size.mshrs)),
                "bus": Out(wide),
                "arrives": Out(1),
                "arrived": Out(range(size.mshrs)),
                "misses": Out(stream.Signature(size.block_bits)),
                "block": In(wide),
                "for_block": In(1 + size.mergers),
                "hold": Out(1),
                "private": In(size.block_bits).array(size.mergers),
                "look": In(size.mergers),
                "hits": Out(size.mergers),
                "found": Out(wide).array(size.mergers),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Banks, miss registers, the bus."""
        m = Module()
        size = self.size
        banks = [Bank(size) for _ in range(size.mergers)]
        for k, bank in enumerate(banks):
            place(m, platform, bank, f"bank{k}", "outerspace_bank")
        inner = log2(size.sets)
        wanted, asked = Signal(size.block_bits), Signal()
        for side in reversed(self.lookups):
            with m.If(side.valid):
                m.d.comb += [wanted.eq(side.payload), asked.eq(1)]
        which = wanted[inner : inner + log2(size.mergers)]
        chosen = Signal(size.mergers)
        m.d.comb += chosen.eq(1 << which if size.mergers > 1 else 1)

        missing, evicts, owner = Signal(), Signal(), Signal(range(size.mshrs))
        hit, pending, line = Signal(), Signal(), Signal(range(size.sets * size.ways))
        for k, bank in enumerate(banks):
            with m.If(chosen[k]):
                m.d.comb += [
                    hit.eq(bank.hit), pending.eq(bank.pending), line.eq(bank.line), evicts.eq(bank.evicts),
                    owner.eq(bank.owner),
                ]  # fmt: skip
        takes, full, newest = Signal(), Signal(), Signal(range(size.mshrs))
        fill, live, fill_bank, fill_line = self._registers(m, wanted, takes, full, newest, which, line, evicts, owner)
        m.d.comb += [
            missing.eq(asked & ~hit),
            takes.eq(missing & ~full),
            self.present.eq(asked & hit & ~pending),
        ]
        first = Signal(size.pes)
        for k, side in enumerate(self.lookups):
            before = Cat(s.valid for s in self.lookups[:k]).any() if k else Const(0, 1)
            m.d.comb += [
                first[k].eq(side.valid & ~before),
                self.refused[k].eq(first[k] & missing & full),
                side.ready.eq(first[k] & ~(missing & full)),
            ]

        lasts = [Signal(range(size.sets * size.ways), name=f"missed{k}") for k in range(size.mergers)]
        for k, bank in enumerate(banks):
            mine = fill & live & (fill_bank == k)
            m.d.comb += [
                bank.clear.eq(self.clear),
                bank.block.eq(Mux(self.merging, self.private[k], wanted)),
                bank.look.eq(Mux(self.merging, self.look[k], asked & chosen[k])),
                bank.take.eq(self.merging | ~full),
                bank.number.eq(newest),
                bank.fill.eq(mine | self.for_block[1 + k]),
                bank.fill_line.eq(Mux(self.merging, lasts[k], fill_line)),
                bank.filled.eq(self.block),
                self.hits[k].eq(bank.hit),
                self.found[k].eq(bank.data),
            ]
            with m.If(self.look[k] & ~bank.hit):
                m.d.sync += lasts[k].eq(bank.line)

        shows, source = Signal(), Signal(size.mergers)  # a hit is on the bus
        m.d.sync += [shows.eq(self.present), source.eq(chosen)]
        m.d.comb += [self.hold.eq(shows), self.bus.eq(self.block), self.arrives.eq(fill)]
        for k, bank in enumerate(banks):
            with m.If(shows & source[k]):
                m.d.comb += self.bus.eq(bank.data)
        return m

    def _registers(
        self, m: Module, wanted: Signal, takes: Signal, full: Signal, newest: Signal, bank: Value, line: Signal,
        evicts: Signal, owner: Signal,
    ) -> tuple[Value, Value, Value, Value]:  # fmt: skip
        """Miss registers, a ring. Returns whether a block comes, whether its line still waits, its bank and line."""
        size = self.size
        place = data.StructLayout({"bank": range(size.mergers), "line": range(size.sets * size.ways)})
        m.submodules.registers = registers = Memory(shape=place, depth=size.mshrs, init=[])
        m.submodules.asked = asked = SyncFIFO(width=size.block_bits, depth=size.mshrs)
        write, read = registers.write_port(), registers.read_port(domain="comb")
        oldest = Signal(range(size.mshrs))
        used, live = Signal(range(size.mshrs + 1)), Signal(size.mshrs)
        fill = Signal()
        m.d.comb += [
            full.eq(used == size.mshrs),
            fill.eq(self.for_block[0]),
            write.addr.eq(newest),
            write.data.bank.eq(bank),
            write.data.line.eq(line),
            write.en.eq(takes),
            read.addr.eq(oldest),
            asked.w_data.eq(wanted),
            asked.w_en.eq(takes),
            self.misses.payload.eq(asked.r_data),
            self.misses.valid.eq(asked.r_rdy),
            asked.r_en.eq(self.misses.ready),
            self.freed.eq(fill),
            self.arrived.eq(oldest),
            self.number.eq(Mux(takes, newest, owner)),
        ]
        m.d.sync += used.eq(used + takes - fill)
        with m.If(takes & evicts):
            m.d.sync += live.bit_select(owner, 1).eq(0)
        with m.If(takes):
            m.d.sync += [newest.eq(_next(newest, size.mshrs)), live.bit_select(newest, 1).eq(1)]
        with m.If(fill):
            m.d.sync += oldest.eq(_next(oldest, size.mshrs))
        lives = pick(list(live), oldest)
        return fill, lives, read.data.bank, read.data.line


def _next(place: Signal, count: int) -> Value:
    return Mux(place == count - 1, 0, place + 1)
