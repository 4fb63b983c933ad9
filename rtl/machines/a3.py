"""A3 in hardware: one pipeline, for heads that its memories hold.

A head is announced by a beat of ``head``. Then its rows of K, V and Q come side by side, one of each a cycle, and,
where there is a search, the places of its sorted columns: of the low end from the outermost inwards, then of the high
end, a place of all columns a cycle. When all is there, queries begin:

    q -> search -> scan -> products -> post-scoring -> exponents -> output -> o

Each of these modules has one query at a time, and hands it to the next one when that is free, through a queue of
``buffered_queries`` places (``_a3_turn.py``). Without a search the first module is that of the products, and every key
that the mask allows is a candidate; without post-scoring there is no such module. What a module takes for a query is
what ``query_cycles`` in ``models/a3.py`` says; nothing here knows of it.

What it does not do: it sorts no columns (``sorters`` 0: they come sorted), and its heads have as many elements as there
are lanes. It holds one head: the next is announced when the last row of the output has left.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect, flipped

from siloom.models._a3_design import A3Design
from siloom.rtl.barrel import named
from siloom.rtl.lanes import lanes
from siloom.rtl.machines._a3_exponent import Exponent
from siloom.rtl.machines._a3_output import Output
from siloom.rtl.machines._a3_post import Post
from siloom.rtl.machines._a3_products import Products
from siloom.rtl.machines._a3_rows import take_rows
from siloom.rtl.machines._a3_scan import Scan
from siloom.rtl.machines._a3_scores import Scores
from siloom.rtl.machines._a3_search import GAIN, LOSS, Search
from siloom.rtl.machines._a3_size import Size
from siloom.rtl.machines._a3_turn import join
from siloom.sim.units.greedy_search import HIGH, LOW


class A3(wiring.Component):
    """One pipeline of the design.

    Attributes:
        head: Of every head its rows, whether its mask is causal, and, with a search, iterations of each query.
        q: Rows of the queries.
        k: Rows of the keys.
        v: Rows of the values.
        ends: Places of sorted columns, only with a search: values and the rows that they are from. There are as many
            of each end as there are iterations, or rows if these are fewer.
        o: Rows of the output.
    """

    head: stream.Interface
    q: stream.Interface
    k: stream.Interface
    v: stream.Interface
    ends: stream.Interface
    o: stream.Interface

    def __init__(self, design: A3Design) -> None:
        """Make the ports."""
        self.size = size = Size(design)
        rows = {name: In(stream.Signature(size.row)) for name in "qkv"}
        ends = {"ends": In(stream.Signature(size.place))} if size.searches else {}
        super().__init__(
            {"head": In(stream.Signature(size.head)), **rows, **ends, "o": Out(stream.Signature(size.row))}
        )

    def elaborate(self, platform: object) -> Module:
        """The head's state, the modules, and their wires."""
        m = Module()
        size = self.size
        m.submodules.products = self.products = Products(size)
        m.submodules.scores = self.scores = Scores(size)
        m.submodules.exponent = self.exponent = Exponent(size)
        m.submodules.output = self.output = Output(size)
        self.clear, self.busy = Signal(), Signal()
        self.known: Any = Signal(size.head)
        m.d.comb += [self.head.ready.eq(~self.busy), self.clear.eq(self.head.valid & ~self.busy)]
        with m.If(self.clear):
            m.d.sync += [self.known.eq(self.head.payload), self.busy.eq(1)]

        self.rows = named(m, ((Const(1, 1) << self.known.seq) - 1)[: size.keys], "rows")
        queries, stored, all_there = self._load(m)
        if size.searches:
            self._search(m, queries, stored, all_there)
        else:
            self._begin_all(m, all_there)
        self._follow(m)
        self._end(m)
        return m

    def _load(self, m: Module) -> tuple[Any, Any, Any]:
        """Rows are written to their memories; that of the queries, how many it has, and whether all rows are there."""
        size = self.size
        found = {
            name: take_rows(m, name, size, getattr(self, name), self.known, self.busy, self.clear) for name in "qkv"
        }
        queries = Memory(shape=size.row, depth=1 << size.number_bits, init=[])
        m.submodules.queries = queries
        writer, reader = queries.write_port(), queries.read_port()
        query, stored, _ = found["q"]
        number = Signal(size.count)
        m.d.comb += [
            self.products.key.eq(found["k"][0]),
            self.output.value.eq(found["v"][0]),
            writer.en.eq(query.valid),
            writer.addr.eq(query.at),
            writer.data.eq(query.row),
            # The row of the query that is worked on stays in the port's register.
            reader.en.eq(self.products.takes),
            reader.addr.eq(number[: size.number_bits]),
            self.products.query.eq(reader.data),
        ]
        with m.If(self.clear):
            m.d.sync += number.eq(0)
        with m.Elif(self.products.takes):
            m.d.sync += number.eq(number + 1)
        self.number = number
        all_there = named(m, self.busy & Cat(there for _, _, there in found.values()).all(), "all_there")
        return queries, stored, all_there

    def _begin_all(self, m: Module, all_there: Any) -> None:
        """All keys that a query may see go to the products."""
        size = self.size
        seen = Signal(size.keys)
        now = named(m, Mux(self.known.causal, Cat(Const(1, 1), seen)[: size.keys], self.rows), "sees")
        m.d.comb += [
            self.products.i.valid.eq(all_there & (self.number != self.known.seq)),
            self.products.i.p.keys.eq(now),
        ]
        with m.If(self.clear):
            m.d.sync += seen.eq(0)
        with m.Elif(self.products.takes):
            m.d.sync += seen.eq(now)

    def _search(self, m: Module, queries: Any, stored: Any, all_there: Any) -> None:
        """Places of sorted columns go to the search, then queries, which it finds the candidates of."""
        size = self.size
        m.submodules.search = search = Search(size)
        m.submodules.scan = scan = Scan(size, search.score)
        seq, iterations = self.known.seq, self.known.iterations
        place, high, placed = Signal(range(size.units.search.depth)), Signal(), Signal()
        m.d.comb += [
            search.iterations.eq(iterations),
            search.depth.eq(Mux(iterations < seq, iterations, seq)),
            scan.rows.eq(self.rows),
            scan.last_group.eq((seq - 1)[size.width_bits :]),
        ]
        with m.If(self.ends.valid & self.ends.ready):
            m.d.sync += place.eq(place + 1)
            with m.If(place == search.depth - 1):
                m.d.sync += [place.eq(0), high.eq(~high), placed.eq(high)]
        with m.If(self.clear):
            m.d.sync += placed.eq(0)

        # The next query is read while the one before it is searched.
        asked, there, fetches, taken = Signal(size.count), Signal(), Signal(), Signal()
        reader = queries.read_port()
        m.d.comb += [
            taken.eq(search.i.valid & search.i.ready & placed),
            fetches.eq(self.busy & (asked != stored) & (~there | taken)),
            reader.en.eq(fetches),
            reader.addr.eq(asked[: size.number_bits]),
        ]
        m.d.sync += there.eq(fetches | (there & ~taken))
        with m.If(self.clear):
            m.d.sync += asked.eq(0)
        with m.Elif(fetches):
            m.d.sync += asked.eq(asked + 1)
        values, numbers = Cat(*lanes(search.i.p.value)), Cat(*lanes(search.i.p.row))
        m.d.comb += [
            self.ends.ready.eq(self.busy & ~placed & search.i.ready),
            search.i.valid.eq(Mux(placed, there & all_there, self.busy & self.ends.valid)),
            search.i.p.kind.eq(Mux(placed, HIGH + 1, Mux(high, HIGH, LOW))),
            search.i.p.place.eq(place),
            values.eq(Mux(placed, reader.data.as_value(), self.ends.p.value.as_value())),
            numbers.eq(self.ends.p.row.as_value()),
        ]

        searched = stream.Signature(size.found).create()
        m.d.comb += [
            searched.valid.eq(search.o.valid),
            searched.p.candidate.eq(Cat(*lanes(search.o.p.candidate))),
            searched.p.gained.eq(search.written[GAIN]),
            searched.p.lost.eq(search.written[LOSS]),
            search.o.ready.eq(searched.ready),
            scan.clear.eq(self.clear),
            scan.causal.eq(self.known.causal),
            search.group.eq(scan.group),
            search.part.eq(scan.part),
        ]
        for lane in range(size.width):
            m.d.comb += [scan.gains[lane].eq(search.sums[GAIN][lane]), scan.losses[lane].eq(search.sums[LOSS][lane])]
        join(m, "searched", size.found, size.waiting, searched, scan.i)
        join(m, "scanned", size.chosen, size.waiting, scan.o, self.products.i)

    def _follow(self, m: Module) -> None:
        """From the products to the output, with post-scoring between where there is any."""
        size, products, scores = self.size, self.products, self.scores
        exponent, output = self.exponent, self.output
        before: Any = products.o
        if size.posts:
            m.submodules.post = post = Post(size)
            join(m, "multiplied", size.scored, size.waiting, before, post.i)
            before = post.o
            m.d.comb += [
                scores.looked_slot.eq(post.slot),
                scores.looked_group.eq(post.group),
                *[seen.eq(shown) for seen, shown in zip(post.seen, scores.seen, strict=True)],
                post.asked.eq(exponent.slot),
                exponent.kept.eq(post.kept),
            ]
        join(m, "scored", size.scored, size.waiting, before, exponent.i)
        join(m, "weighed", size.weighed, size.waiting, exponent.o, output.i)
        m.d.comb += [
            scores.found.eq(products.found),
            scores.fetches.eq(exponent.fetches),
            scores.fetched_slot.eq(exponent.slot),
            scores.fetched_ordinal.eq(exponent.ordinal),
            exponent.fetched.eq(scores.fetched),
            output.found.eq(exponent.found),
        ]

    def _end(self, m: Module) -> None:
        """Rows leave; with the last one the head ends."""
        connect(m, self.output.o, flipped(self.o))
        left = Signal(self.size.count)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += left.eq(left + 1)
            with m.If(left + 1 == self.known.seq):
                m.d.sync += self.busy.eq(0)
        with m.If(self.clear):
            m.d.sync += left.eq(0)


TWIN = A3
