"""What travels between ViTCoD's parts."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data

from siloom.rtl.barrel import named
from siloom.rtl.machines._vitcod_size import ViTCoDSize


class Layouts:
    """Of one size.

    ``head``: its tokens, its global ones, and the lines of the denser engine. ``token``: of a query or a key, with the
    mask's bits of its row or column and the line of the sparser engine that works on these; ``encoded``: all encoded
    heads of it. ``command``: what lines of the denser engine do. ``scored``: a score on its way to its memory;
    ``block``: scores of a row in neighbouring columns. ``result``: sums of a row in one engine. ``row``: one that
    leaves.
    """

    def __init__(self, size: ViTCoDSize) -> None:
        self.size = size
        self.index, self.count = size.index_bits, size.count_bits
        self.score = signed(size.score_bits)
        self.block = data.ArrayLayout(self.score, size.block)
        self.block_bits = size.block.bit_length() - 1
        self.codes = data.ArrayLayout(signed(size.bits), size.dim)
        self.head = self._with_weights({"seq": self.count, "globals": self.count, "denser": size.lines.bit_length()})
        self.token = data.StructLayout({"codes": self.codes, **self._place})
        encoded = data.ArrayLayout(self.codes, size.encoded)
        self.encoded = data.StructLayout({"codes": encoded, **self._place}) if size.decodes else self.token
        self.place = data.StructLayout(self._place)
        self.item = data.StructLayout({"kept": size.seq, "number": self.index})
        self.address = data.StructLayout({"number": self.index, "half": 1})
        self.row = data.StructLayout({"codes": self.codes, "row": self.address})
        self.command = data.StructLayout(
            {"valid": 1, "row": self.index, "column": self.index, "kept": 1, "first": 1, "last": 1}
        )
        self.scored = data.StructLayout(
            {"valid": 1, "row": self.index, "column": self.index, "kept": 1, "dense": 1, "score": self.score}
        )
        self.marked = data.StructLayout({"score": self.score, "marked": 1})
        self.sums = data.ArrayLayout(32, size.dim + 1)
        self.result = data.StructLayout({"row": self.index, "dense": 1, "sums": self.sums})

    @cached_property
    def _place(self) -> dict[str, Any]:
        return {"kept": self.size.seq, "line": self.size.line_bits}

    def _with_weights(self, fields: dict[str, Any]) -> Any:
        size = self.size
        if size.decodes:
            weights = data.ArrayLayout(signed(size.design.weight_bits), size.encoded)
            fields |= {"query_weights": weights, "key_weights": weights}
        return data.StructLayout(fields)


def one_bit(m: Module, name: str, when: Any, at: Any, width: int) -> Any:
    """The bit with a number alone, where ``when`` is high; else none. Simulators like it better than a choice."""
    return named(m, (Cat(when) << at)[:width], name)


def lowest(m: Module, name: str, bits: Any, width: int) -> tuple[Any, Any]:
    """The number of the lowest bit that is set, zero of none; and the bits without it."""
    wide = len(Value.cast(bits))
    less = named(m, (bits - 1)[:wide], f"{name}_less")
    only = named(m, bits & ~less, f"{name}_only")
    places = [sum(1 << at for at in range(wide) if at >> bit & 1) for bit in range(width)]
    return named(m, Cat((only & mask).any() for mask in places), name), named(m, bits & less, f"{name}_left")


def earliest(m: Module, name: str, asks: Any, rows: list[Any]) -> Any:
    """Of those that ask the one with the lowest row, as a bit: so no line falls behind the others."""
    wins = []
    for one, row in enumerate(rows):
        yields = [
            asks[other] & (rows[other] < row if other > one else rows[other] <= row)
            for other in range(len(rows))
            if other != one
        ]
        wins.append(named(m, asks[one] & ~Cat(yields).any(), f"{name}{one}"))
    return named(m, Cat(wins), name)


def largest_of(m: Module, name: str, those: list[Any]) -> Any:
    """The largest ``marked`` score, marked where any is."""
    left = [(one.score, one.marked) for one in those]
    level = 0
    while len(left) > 1:
        found = []
        for pair in range(0, len(left) - 1, 2):
            (a, a_is), (b, b_is) = left[pair], left[pair + 1]
            second = b_is & (~a_is | (b > a))
            score: Any = Signal(a.shape(), name=f"{name}{level}_{pair}")
            m.d.comb += score.eq(Mux(second, b, a))
            found.append((score, a_is | b_is))
        left = [*found, *left[2 * len(found) :]]
        level += 1
    return left[0]
