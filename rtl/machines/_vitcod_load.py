"""Operands on their way to the lines: which head, which token, and whose column or row it is.

Of every head first the queries come, then the keys, global tokens in front, with the bits of their rows and columns,
and in a stream of their own the values. A row's bits are those of the sparser engine's columns. Two heads have room.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal
from amaranth.lib import stream

from siloom.rtl.barrel import named
from siloom.rtl.machines._vitcod_layouts import Layouts
from siloom.rtl.pick import pick


class Load(Elaboratable):
    """Counters of heads and tokens; heads are counted round and round, eight of them.

    Attributes:
        tokens, values: Streams in.
        heads: In: what the heads in the places are like.
        known, worked, values_done: In: heads announced, worked on, and whose values are read no more.
        lines: Where tokens go.
        loading: The head whose tokens come.
        values_loading: The head whose values come.
        ends: The last of them comes, and is no work for anyone.
        token: Which of its tokens comes, of those of Q and K.
        kept_given, kept_at, kept: A global token's column, for the denser engine.
        row_given, row_at, row_kept: Whether a row has keys in the sparser engine.
    """

    def __init__(self, layouts: Layouts, heads: list[Any], lines: list[Any]) -> None:
        self._layouts, self.heads, self.lines = layouts, heads, lines
        self.tokens: Any = stream.Signature(layouts.token).flip().create()
        self.values: Any = stream.Signature(layouts.codes).flip().create()
        self.known: Any = Signal(3)
        self.worked: Any = Signal(3)
        self.values_done: Any = Signal(3)
        self.loading: Any = Signal(3)
        self.values_loading: Any = Signal(3)
        self.ends: Any = Signal()
        self.token: Any = Signal(layouts.count + 1)
        self.kept_given: Any = Signal()
        self.kept_at: Any = Signal(layouts.address)
        self.kept: Any = Signal(layouts.size.seq)
        self.row_given: Any = Signal()
        self.row_at: Any = Signal(layouts.address)
        self.row_kept: Any = Signal()

    def elaborate(self, platform: object) -> Module:
        """A token, and a value, in every cycle."""
        m = Module()
        layouts = self._layouts
        head: Any = Signal(layouts.head)
        m.d.comb += head.eq(pick(self.heads, self.loading[:2]))
        comes = self._takes(m, self.tokens, self.loading, self.worked)
        is_key = named(m, self.token >= head.seq, "is_key")
        key = named(m, (self.token - head.seq)[: layouts.count], "key")
        number = named(m, Mux(is_key, key, self.token)[: layouts.index], "number")
        some = named(m, self.tokens.p.kept.any(), "some")
        is_global = named(m, is_key & (key < head.globals), "is_global")
        last = named(m, self.token + 1 == head.seq << 1, "last")
        with m.If(comes):
            m.d.sync += [self.token.eq(Mux(last, 0, self.token + 1)), self.loading.eq(self.loading + last)]
        at: Any = Signal(layouts.address)
        m.d.comb += [
            self.ends.eq(comes & last & ~some & ~is_global),
            at.number.eq(number),
            at.half.eq(self.loading[0]),
            self.kept_given.eq(comes & is_global),
            self.kept_at.eq(at),
            self.kept.eq(self.tokens.p.kept),
            self.row_given.eq(comes & ~is_key),
            self.row_at.eq(at),
            self.row_kept.eq(some),
        ]
        for place, line in enumerate(self.lines):
            mine = named(m, comes & some & (self.tokens.p.line == place), f"line{place}")
            m.d.comb += [
                line.token.eq(self.tokens.p.codes),
                line.token_at.eq(at),
                line.query_given.eq(comes & ~is_key),
                line.key_given.eq(comes & is_key),
                line.item.kept.eq(self.tokens.p.kept),
                line.item.number.eq(number),
                line.item_half.eq(self.loading[0]),
                line.column_given.eq(mine & is_key & ~is_global),
                line.row_given.eq(mine & ~is_key),
            ]
        self._values(m)
        return m

    def _values(self, m: Module) -> None:
        layouts = self._layouts
        number: Any = Signal(layouts.count, name="value")
        seq: Any = Signal(layouts.count, name="values_seq")
        m.d.comb += seq.eq(pick([head.seq for head in self.heads], self.values_loading[:2]))
        comes = self._takes(m, self.values, self.values_loading, self.values_done)
        last = named(m, number + 1 == seq, "last_value")
        with m.If(comes):
            m.d.sync += [number.eq(Mux(last, 0, number + 1)), self.values_loading.eq(self.values_loading + last)]
        for line in self.lines:
            m.d.comb += [
                line.value.eq(self.values.payload),
                line.value_at.eq(Cat(number[: layouts.index], self.values_loading[0])),
                line.value_given.eq(comes),
            ]

    def _takes(self, m: Module, given: Any, loading: Any, done: Any) -> Any:
        """Whether a beat is taken: of a head that is announced and has room."""
        m.d.comb += given.ready.eq((loading != self.known) & ((loading - done)[:3] < 2))
        return given.valid & given.ready
