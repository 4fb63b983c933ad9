"""ELSA in hardware: one pipeline, for heads of one length that its memories hold.

A head is announced by a beat of ``head``. Then rows of K, V and Q come by streams of their own and are written to
memories, K at the pace of the hash unit, which they go through at the same time, as through the norm unit; after them
queries are hashed, one after another, while there is room for them in the window. A hash is copied by every bank as it
comes to that query. Banks find candidates, work on them and show their sums; the output merges these and divides.

    k -> hash, norm -> banks' hash and norm memories; k, v -> banks' key and value memories
    q -> query memory -> hash -> banks: selectors -> queue -> product, power, weighted sum -> output -> o

Bank j holds keys j, j + banks and so on. The cycles are those of ``sim/engine/candidate_queues.py``; nothing here
knows of it.

What it does not do: it holds one head (the next is announced when the last row of the output has left), learns no
threshold (that comes with the head), and has no output memory: rows leave when they are made, and all stages wait
where they are not taken.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect, flipped

from siloom.models._elsa_design import ElsaDesign
from siloom.rtl.beside import after
from siloom.rtl.machines._elsa_bank import Bank
from siloom.rtl.machines._elsa_load import Deal
from siloom.rtl.machines._elsa_output import Output
from siloom.rtl.machines._elsa_shapes import Shapes
from siloom.rtl.machines._elsa_window import Window
from siloom.rtl.shared import place
from siloom.rtl.units.norm import Norm
from siloom.rtl.units.srp_hash import SrpHash
from siloom.sim.selection.hashed_keys import COSINE_FRACTION, KEEP_ALL, THRESHOLD_FRACTION


class Elsa(wiring.Component):
    """One pipeline of the design.

    Attributes:
        head: Of every head its rows, whether its mask is causal, and its threshold.
        q: Rows of the queries.
        k: Rows of the keys.
        v: Rows of the values.
        o: Rows of the output, some elements a beat.
    """

    head: stream.Interface
    q: stream.Interface
    k: stream.Interface
    v: stream.Interface
    o: stream.Interface

    def __init__(self, design: ElsaDesign) -> None:
        """Make the ports."""
        self.shapes = shapes = Shapes(design)
        head = data.StructLayout({"seq": range(shapes.seq + 1), "causal": 1, "threshold": shapes.threshold})
        super().__init__(
            {
                "head": In(stream.Signature(head)),
                "q": In(stream.Signature(shapes.row)),
                "k": In(stream.Signature(shapes.row)),
                "v": In(stream.Signature(shapes.row)),
                "o": Out(stream.Signature(shapes.codes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """The head's state, the parts, and their wires."""
        m = Module()
        shapes = self.shapes
        self.banks = [Bank(shapes) for _ in range(shapes.banks)]
        for number, bank in enumerate(self.banks):
            place(m, platform, bank, f"bank{number}", "elsa_bank")
            m.d.comb += bank.number.eq(Const(number, len(bank.number)))
        m.submodules.window = self.window = Window(shapes)
        m.submodules.output = self.output = Output(shapes)
        m.submodules.hash = self.hash = SrpHash(shapes.units.hash)
        m.submodules.norm = self.norm = Norm(shapes.units.norm)

        self.clear, self.busy = Signal(), Signal()
        self.known: Any = Signal(self.head.payload.shape())
        m.d.comb += [self.head.ready.eq(~self.busy), self.clear.eq(self.head.valid & ~self.busy)]
        with m.If(self.clear):
            m.d.sync += [self.known.eq(self.head.payload), self.busy.eq(1)]
        self._load_values(m)
        prepared = self._measure_keys(m)
        self._hash_rows(m, *self._read_queries(m), prepared)
        self._follow(m)
        self._end(m)
        return m

    def _all(self, m: Module, name: str, value: Any) -> None:
        """Give one value to all banks."""
        m.d.comb += [getattr(bank, name).eq(value) for bank in self.banks]

    def _load_values(self, m: Module) -> None:
        """Values are written to their banks as they come."""
        comes = Signal()
        deal = Deal(m, "values", self.shapes, comes, self.clear)
        m.d.comb += [
            self.v.ready.eq(self.busy & (deal.count != self.known.seq)),
            comes.eq(self.v.valid & self.v.ready),
        ]
        self._all(m, "value_local", deal.local)
        self._all(m, "value", self.v.payload)
        m.d.comb += [bank.value_valid.eq(comes & (deal.bank == number)) for number, bank in enumerate(self.banks)]
        self.values = deal.count

    def _measure_keys(self, m: Module) -> Any:
        """Lengths of keys are written to their banks; whether all are known, and all values are there."""
        longest = Signal(self.shapes.norm)
        norm = self.norm
        deal = Deal(m, "norms", self.shapes, norm.o.valid, self.clear)
        m.d.comb += norm.o.ready.eq(1)
        with m.If(norm.o.valid & (norm.o.p.norm > longest)):
            m.d.sync += longest.eq(norm.o.p.norm)
        self._all(m, "norm_place", deal.place)
        self._all(m, "norm", norm.o.p.norm)
        m.d.comb += [bank.norm_valid.eq(norm.o.valid & (deal.bank == number)) for number, bank in enumerate(self.banks)]
        # The bound: the threshold times the longest key, floored in the last place of an estimate.
        bound, prepared = Signal(self.shapes.bound), Signal()
        m.d.sync += [
            bound.eq((self.known.threshold * longest) >> (THRESHOLD_FRACTION - COSINE_FRACTION)),
            prepared.eq(self.busy & (deal.count == self.known.seq) & (self.values == self.known.seq)),
        ]
        with m.If(self.clear):
            m.d.sync += longest.eq(0)
        self._all(m, "bound", bound)
        self._all(m, "keep_all", self.known.threshold == KEEP_ALL)
        return prepared

    def _read_queries(self, m: Module) -> tuple[Any, Any, Any]:
        """Queries are kept in a memory; the next row, whether it is there, and a wire that takes it."""
        shapes = self.shapes
        count = range(shapes.seq + 1)
        stored, read, there, taken, fetches = Signal(count), Signal(count), Signal(), Signal(), Signal()
        memory = Memory(shape=shapes.row, depth=shapes.seq, init=[])
        m.submodules.queries = memory
        writer, reader = memory.write_port(), memory.read_port()
        m.d.comb += [
            self.q.ready.eq(self.busy & (stored != self.known.seq)),
            writer.en.eq(self.q.valid & self.q.ready),
            # When the memory is full there is no place that the count names.
            writer.addr.eq(Mux(stored == shapes.seq, 0, stored)),
            writer.data.eq(self.q.payload),
            fetches.eq((read != stored) & (~there | taken)),
            reader.en.eq(fetches),
            reader.addr.eq(Mux(read == shapes.seq, 0, read)),
        ]
        m.d.sync += [stored.eq(stored + writer.en), read.eq(read + fetches), there.eq(fetches | (there & ~taken))]
        with m.If(self.clear):
            m.d.sync += [stored.eq(0), read.eq(0)]
        return reader.data, there, taken

    def _hash_rows(self, m: Module, row: Any, there: Any, taken: Any, prepared: Any) -> None:
        """Keys go through the hash unit first, then queries; their hashes go to the banks in the same order."""
        shapes, unit, norm = self.shapes, self.hash, self.norm
        comes, written, keys = Signal(), Signal(), Signal()
        deal = Deal(m, "keys", shapes, comes, self.clear)
        hashes = Deal(m, "hashes", shapes, written, self.clear)
        m.d.comb += [
            keys.eq(self.busy & (deal.count != self.known.seq)),
            self.k.ready.eq(keys & unit.i.ready & norm.i.ready),
            comes.eq(self.k.valid & self.k.ready),
            norm.i.valid.eq(comes),
            norm.i.payload.eq(self.k.payload.as_value()),
            unit.i.valid.eq(Mux(keys, self.k.valid & norm.i.ready, there & self.window.room)),
            unit.i.payload.eq(Mux(keys, self.k.payload.as_value(), row.as_value())),
            taken.eq(~keys & there & self.window.room & unit.i.ready),
            self.window.begins.eq(taken),
        ]
        last_word = Signal(range(shapes.words))
        with m.If(comes):
            m.d.sync += last_word.eq(deal.place.word)
        self._all(m, "last_word", last_word)
        self._all(m, "key_local", deal.local)
        self._all(m, "key", self.k.payload)
        self._all(m, "row_valid", taken)
        self._all(m, "row_query", self.window.place)
        self._all(m, "row", row)
        self._all(m, "hash", unit.o.payload.as_value())
        self._all(m, "hash_place", hashes.place)
        for number, bank in enumerate(self.banks):
            m.d.comb += [
                bank.key_valid.eq(comes & (deal.bank == number)),
                bank.hash_valid.eq(written & (hashes.bank == number)),
            ]

        # A query's hash is copied by every bank, each in its own cycle, and leaves with the last.
        of_key, all_came = Signal(), Signal()
        came, come = Signal(shapes.banks), Signal(shapes.banks)
        m.d.comb += [
            of_key.eq(hashes.count != self.known.seq),
            written.eq(unit.o.valid & of_key),
            all_came.eq((came | come).all()),
            unit.o.ready.eq(of_key | all_came),
        ]
        m.d.sync += came.eq(Mux(all_came, 0, came | come))
        for number, bank in enumerate(self.banks):
            m.d.comb += [
                bank.query.payload.eq(unit.o.payload.as_value()),
                bank.query.valid.eq(unit.o.valid & ~of_key & prepared & ~came[number]),
                come[number].eq(bank.query.valid & bank.query.ready),
            ]

    def _follow(self, m: Module) -> None:
        """Wires between banks, window and output."""
        window, output = self.window, self.output
        w: Any = window
        o: Any = output
        self._all(m, "clear", self.clear)
        self._all(m, "causal", self.known.causal)
        self._all(m, "asked", window.asked)
        self._all(m, "chunk", output.chunk)
        m.d.comb += [
            window.clear.eq(self.clear),
            window.finds.eq(Cat(bank.finds for bank in self.banks)),
            window.ends.eq(Cat(bank.ends for bank in self.banks)),
            window.leaves.eq(output.leaves),
            output.decided.eq(window.decided),
            output.with_sums.eq(window.with_sums),
            output.waiting.eq(Cat(bank.waiting for bank in self.banks)),
        ]
        for number, bank in enumerate(self.banks):
            m.d.comb += [
                w.looked[number].eq(bank.looked),
                w.records[number].eq(bank.record),
                bank.window.eq(w.window[number]),
                o.parts[number].eq(bank.part),
                bank.release.eq(output.leaves & window.with_sums[number]),
            ]

    def _end(self, m: Module) -> None:
        """Rows leave; with the last one the head ends."""
        shapes = self.shapes
        connect(m, self.output.o, flipped(self.o))
        chunk, row, leaves = Signal(range(shapes.chunks)), Signal(range(shapes.seq + 1)), Signal()
        m.d.comb += leaves.eq(self.o.valid & self.o.ready)
        with m.If(leaves):
            m.d.sync += chunk.eq(after(chunk, shapes.chunks))
            with m.If(chunk == shapes.chunks - 1):
                m.d.sync += row.eq(row + 1)
                with m.If(row == self.known.seq - 1):
                    m.d.sync += self.busy.eq(0)
        with m.If(self.clear):
            m.d.sync += row.eq(0)


TWIN = Elsa
