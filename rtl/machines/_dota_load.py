"""A head's operands on their way in: two halves of every memory, one filled while the head in the other is worked on.

A head is announced first; then its vectors and weights may come, each stream at its own pace. Of the announcement,
``seq`` says how many vectors there are. Weights lie in registers, because all columns are read at once; vectors in
memories that are read a vector a cycle, queries also a group at a time.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Signal
from amaranth.lib import stream
from amaranth.lib.memory import Memory

from siloom.rtl.machines._dota_layouts import head_layout, lane, low_bits, low_layout, vector_bits, vector_layout
from siloom.rtl.machines._dota_size import DotaSize
from siloom.rtl.pick import pick


class Load(Elaboratable):
    """The memories.

    Attributes:
        head, weights, q, k, v: Streams in.
        full: A head is there: ``given``. ``begin``, In: it is taken, and read from the next cycle on.
        key_at, value_at, group_at: In: addresses; ``key``, ``value``, ``group``: what is there, a cycle later, and
            stays as long as ``key_en`` (for keys) and ``group_en`` are low.
        columns: of the weights of keys and of queries.
    """

    def __init__(self, size: DotaSize) -> None:
        self.size = size
        self.head: Any = stream.Signature(head_layout(size)).flip().create()
        self.weights: Any = stream.Signature(low_layout(size)).flip().create()
        self.q: Any = stream.Signature(vector_layout(size)).flip().create()
        self.k: Any = stream.Signature(vector_layout(size)).flip().create()
        self.v: Any = stream.Signature(vector_layout(size)).flip().create()
        self.full: Any = Signal()
        self.given: Any = Signal(head_layout(size))
        self.begin: Any = Signal()
        self.key_at: Any = Signal(size.key_bits)
        self.value_at: Any = Signal(size.key_bits)
        self.group_at: Any = Signal(size.group_bits)
        self.key_en: Any = Signal()
        self.group_en: Any = Signal()
        self.key: Any = Signal(vector_bits(size))
        self.value: Any = Signal(vector_bits(size))
        self.group: Any = Signal(size.tokens * vector_bits(size))
        self.columns: Any = Signal(2 * size.rank * low_bits(size))

    def elaborate(self, platform: object) -> Module:
        """Counters, halves and memories."""
        m = Module()
        size = self.size
        known, fills = Signal(), Signal()
        m.d.comb += self.head.ready.eq(~known)
        with m.If(self.head.valid & self.head.ready):
            m.d.sync += [known.eq(1), self.given.eq(self.head.payload)]
        with m.If(self.begin):
            m.d.sync += [known.eq(0), fills.eq(~fills)]
        ends = {"q": self.given.seq, "k": self.given.seq, "v": self.given.seq, "weights": 2 * size.rank}
        counts: dict[str, Any] = {}
        moves: dict[str, Any] = {}
        for name, end in ends.items():
            side: Any = getattr(self, name)
            count: Any = Signal(range(max(size.seq, 2 * size.rank) + 1), name=f"{name}_count")
            move: Any = Signal(name=f"{name}_moves")
            m.d.comb += [side.ready.eq(known & (count != end)), move.eq(side.valid & side.ready)]
            with m.If(move):
                m.d.sync += count.eq(count + 1)
            with m.If(self.begin):
                m.d.sync += count.eq(0)
            counts[name], moves[name] = count, move
        m.d.comb += self.full.eq(known & Cat(counts[name] == end for name, end in ends.items()).all())

        for name, at, word in (("k", self.key_at, self.key), ("v", self.value_at, self.value)):
            memory = Memory(shape=vector_bits(size), depth=2 << size.key_bits, init=[])
            m.submodules[f"{name}_memory"] = memory
            write, read = memory.write_port(), memory.read_port()
            m.d.comb += [
                write.en.eq(moves[name]),
                write.addr.eq(Cat(counts[name][: size.key_bits], fills)),
                write.data.eq(getattr(self, name).payload),
                read.addr.eq(Cat(at, ~fills)),
                read.en.eq(self.key_en if name == "k" else 1),
                word.eq(read.data),
            ]
        row_bits = size.tokens.bit_length() - 1
        for t in range(size.tokens):
            memory = Memory(shape=vector_bits(size), depth=2 << size.group_bits, init=[])
            m.submodules[f"q_memory{t}"] = memory
            write, read = memory.write_port(), memory.read_port()
            m.d.comb += [
                write.en.eq(moves["q"] & (counts["q"][:row_bits] == t)),
                write.addr.eq(Cat(counts["q"][row_bits : row_bits + size.group_bits], fills)),
                write.data.eq(self.q.payload),
                read.addr.eq(Cat(self.group_at, ~fills)),
                read.en.eq(self.group_en),
                lane(self.group, t, vector_bits(size)).eq(read.data),
            ]
        columns = []
        for n in range(2 * size.rank):
            halves: list[Any] = []
            for half in range(2):
                column: Any = Signal(low_bits(size), name=f"column{n}_{half}")
                with m.If(moves["weights"] & (fills == half) & (counts["weights"] == n)):
                    m.d.sync += column.eq(self.weights.payload)
                halves.append(column)
            columns.append(pick(halves, ~fills))
        m.d.comb += self.columns.eq(Cat(columns))
        return m
