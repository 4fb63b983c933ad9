"""Q~ and K~ of a head: a projection, a quantizer and all columns of the weights, one behind another.

Keys go first, then queries, a vector for each projection; nothing waits behind it. Low-rank vectors of keys lie side
by side in words of as many as are detected in a cycle, those of queries in words of a group.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib.memory import Memory

from siloom.rtl.machines._dota_layouts import head_layout, lane, low_bits, vector_bits
from siloom.rtl.machines._dota_size import DotaSize
from siloom.rtl.pick import pick
from siloom.rtl.units.low_rank_detector import LowRankDetector
from siloom.rtl.units.quantizer import Quantizer
from siloom.rtl.units.ternary_projection import TernaryProjection


class Transform(Elaboratable):
    """The detector's vectors.

    Attributes:
        begin: In: from the next cycle on, ``head`` and its vectors are there.
        runs: It reads the memories of vectors. ``key_at``, ``group_at``: where. ``key_en``, ``group_en``: it does so in
            this cycle.
        key, group: In: the words there, a cycle later.
        columns: In: weights.
        done: The last vector is written in this cycle.
        low_keys_at, low_group_at: In: addresses; ``low_keys``, ``low_group``: what is there, a cycle later.
    """

    def __init__(self, size: DotaSize) -> None:
        self.size = size
        self.begin: Any = Signal()
        self.head: Any = Signal(head_layout(size))
        self.runs: Any = Signal()
        self.key_at: Any = Signal(size.key_bits)
        self.group_at: Any = Signal(size.group_bits)
        self.key_en: Any = Signal()
        self.group_en: Any = Signal()
        self.key: Any = Signal(vector_bits(size))
        self.group: Any = Signal(size.tokens * vector_bits(size))
        self.columns: Any = Signal(2 * size.rank * low_bits(size))
        self.done: Any = Signal()
        self.low_keys_at: Any = Signal(range(max(2, size.words(size.keys_at_once))))
        self.low_group_at: Any = Signal(size.group_bits)
        self.low_keys: Any = Signal(size.keys_at_once * low_bits(size))
        self.low_group: Any = Signal(size.tokens * low_bits(size))

    def elaborate(self, platform: object) -> Module:
        """The chain of units, and counters before and behind it."""
        m = Module()
        size = self.size
        m.submodules.projection = projection = TernaryProjection(size.projection)
        m.submodules.quantizer = quantizer = Quantizer(size.quantizer)
        row_bits = size.tokens.bit_length() - 1

        # Vectors from their memories.
        left: Any = Signal()
        queries: Any = Signal()
        at: Any = Signal(size.seq_bits)
        held, held_query, row = Signal(), Signal(), Signal(max(1, row_bits))
        goes, last = Signal(), Signal()
        rows = [lane(self.group, t, vector_bits(size)) for t in range(size.tokens)]
        m.d.comb += [
            goes.eq(left & (~held | projection.i.ready)),
            last.eq(at + 1 == self.head.seq),
            self.key_at.eq(at[: size.key_bits]),
            self.group_at.eq(at[row_bits : row_bits + size.group_bits]),
            self.key_en.eq(goes & ~queries),
            self.group_en.eq(goes & queries),
            projection.i.valid.eq(held),
            Value.cast(projection.i.p.x).eq(Mux(held_query, pick(rows, row), self.key)),
        ]
        with m.If(goes):
            m.d.sync += [held.eq(1), held_query.eq(queries), row.eq(at[:row_bits]), at.eq(Mux(last, 0, at + 1))]
            with m.If(last):
                m.d.sync += [queries.eq(1), left.eq(~queries)]
        with m.Elif(projection.i.ready):
            m.d.sync += held.eq(0)
        with m.If(self.begin):
            m.d.sync += [left.eq(1), queries.eq(0), at.eq(0), self.runs.eq(1)]

        # Which side a vector is of, counted where scales and columns are chosen: they are constants of a head.
        sides = []
        for name, moves in (
            ("before", projection.o.valid & projection.o.ready),
            ("after", quantizer.o.valid & quantizer.o.ready),
        ):
            count: Any = Signal(size.seq_bits, name=f"{name}_count")
            query: Any = Signal(name=f"{name}_query")
            with m.If(moves):
                m.d.sync += count.eq(count + 1)
                with m.If(count + 1 == self.head.seq):
                    m.d.sync += [count.eq(0), query.eq(1)]
            with m.If(self.begin):
                m.d.sync += [count.eq(0), query.eq(0)]
            sides.append(query)
        m.d.comb += [
            projection.o.ready.eq(quantizer.i.ready),
            quantizer.i.valid.eq(projection.o.valid),
            Value.cast(quantizer.i.p.x).eq(Value.cast(projection.o.p.y)),
            quantizer.i.p.scale.eq(Mux(sides[0], self.head.query_before, self.head.key_before)),
        ]
        elements = []
        for j in range(size.rank):
            m.submodules[f"element{j}"] = element = LowRankDetector(size.low_rank)
            m.d.comb += [
                element.i.valid.eq(quantizer.o.valid),
                Value.cast(element.i.p.x).eq(Value.cast(quantizer.o.p.y)),
                Value.cast(element.i.p.w).eq(
                    Mux(
                        sides[1],
                        lane(self.columns, size.rank + j, low_bits(size)),
                        lane(self.columns, j, low_bits(size)),
                    )
                ),
                element.i.p.scale.eq(Mux(sides[1], self.head.query_after, self.head.key_after)),
                element.o.ready.eq(1),
            ]
            elements.append(element)
        m.d.comb += quantizer.o.ready.eq(elements[0].i.ready)

        # Low-rank vectors into their memories.
        count = Signal(size.seq_bits, name="stored")
        query = Signal(name="stored_query")
        comes, ends = Signal(), Signal()
        m.d.comb += [
            comes.eq(elements[0].o.valid),
            ends.eq(count + 1 == self.head.seq),
            self.done.eq(comes & ends & query),
        ]
        with m.If(comes):
            m.d.sync += count.eq(Mux(ends, 0, count + 1))
            with m.If(ends):
                m.d.sync += [query.eq(~query), self.runs.eq(~query)]
        low = Cat(element.o.p.y for element in elements)
        for name, lanes, enable, address, word in (
            ("keys", size.keys_at_once, comes & ~query, self.low_keys_at, self.low_keys),
            ("group", size.tokens, comes & query, self.low_group_at, self.low_group),
        ):
            lane_bits = lanes.bit_length() - 1
            for number in range(lanes):
                memory = Memory(shape=low_bits(size), depth=1 << len(address), init=[])
                m.submodules[f"low_{name}{number}"] = memory
                write, read = memory.write_port(), memory.read_port()
                m.d.comb += [
                    write.en.eq(enable & (count[:lane_bits] == number)),
                    write.addr.eq(count[lane_bits:]),
                    write.data.eq(low),
                    read.addr.eq(address),
                    lane(word, number, low_bits(size)).eq(read.data),
                ]
        return m
