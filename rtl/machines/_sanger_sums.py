"""Sums of weighted values, and of weights, by query: a bank for every element's place in a word.

Rows of PEs work a cycle behind one another, so in any cycle each has another place of a word in hand, and a rotation
brings it to its bank. Two rows with the same query come to the same sum in different cycles, one straight after the
other at the earliest; the bank's port for reading sees what is written in that cycle.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.memory import Memory

from siloom.rtl.machines._sanger_layouts import partial_layout, weight_layout
from siloom.rtl.machines._sanger_predict import later
from siloom.rtl.machines._sanger_size import SangerSize


class Sums(Elaboratable):
    """All sums of two heads.

    Attributes:
        half: In: of the head that is attended to.
        place: In: which place of a word the uppermost row has, when ``place_given``.
        partials, weights: In: what each row gives.
        read: In: word ``word`` of the other head is read, and the weights' sum of query ``query``.
        read_half: In: where that head lies.
        sums, total: A cycle later.
    """

    def __init__(self, size: SangerSize) -> None:
        self.size = size
        self.half: Any = Signal()
        self.place: Any = Signal(size.row_bits)
        self.place_given: Any = Signal()
        self.partials: Any = [Signal(partial_layout(size), name=f"partial{r}") for r in range(size.rows)]
        self.weights: Any = [Signal(weight_layout(size), name=f"weights{r}") for r in range(size.rows)]
        self.read: Any = Signal()
        self.read_half: Any = Signal()
        self.word: Any = Signal(size.word_bits)
        self.query: Any = Signal(size.query_bits)
        self.sums: Any = Signal(data.ArrayLayout(signed(size.sum_bits), size.rows))
        self.total: Any = Signal(size.total_bits)

    def elaborate(self, platform: object) -> Module:
        """Rotation, banks, totals."""
        m = Module()
        size = self.size
        layout = partial_layout(size)
        width = layout.size
        turn, here = Signal(size.row_bits), Signal(size.row_bits)
        m.d.comb += here.eq(Mux(self.place_given, self.place, turn))
        m.d.sync += turn.eq(here + 1)
        # Bank b takes row ``here - b``: rows in falling order, then turned by ``here`` places.
        ring: Any = Cat(self.partials[-b % size.rows] for b in range(size.rows))
        for level in range(size.row_bits):
            turned: Any = Signal(width * size.rows, name=f"turned{level}")
            by = width << level
            m.d.comb += turned.eq(Mux(here[level], Cat(ring[-by:], ring[:-by]), ring))
            ring = turned
        for b in range(size.rows):
            partial = layout(ring[b * width : (b + 1) * width])
            self._bank(
                m, f"bank{b}", size.sum_bits, size.word_bits, partial.valid, partial.word, partial.first,
                partial.sum, self.word, self.sums[b], wide=True,
            )  # fmt: skip
        gathered: Any = Signal(weight_layout(size))
        together: Any = 0
        for weights in self.weights:
            together = together | Mux(weights.valid, weights.as_value(), 0)
        m.d.comb += gathered.eq(together)
        self._bank(
            m, "totals", size.total_bits, size.query_bits, gathered.valid, gathered.query, gathered.first,
            gathered.total, self.query, self.total, wide=False,
        )  # fmt: skip
        return m

    def _bank(
        self, m: Module, name: str, bits: int, address_bits: int, valid: Any, at: Any, first: Any, more: Any,
        read_at: Any, found: Any, wide: bool,
    ) -> None:  # fmt: skip
        """A memory in which something is added a cycle after its address."""
        shape: Any = signed(bits) if wide else bits
        m.submodules[name] = memory = Memory(shape=shape, depth=2 << address_bits, init=[])
        write = memory.write_port()
        old, read = memory.read_port(transparent_for=(write,)), memory.read_port()
        added: Any = Signal(Value.cast(more).shape(), name=f"{name}_added")
        opens: Any = Signal(name=f"{name}_opens")
        m.d.sync += [added.eq(more), opens.eq(first)]
        m.d.comb += [
            old.addr.eq(Cat(at, self.half)),
            write.addr.eq(Cat(later(m, at, 1, f"{name}_at"), later(m, self.half, 1, f"{name}_half"))),
            write.en.eq(later(m, valid, 1, f"{name}_valid")),
            write.data.eq(Mux(opens, 0, old.data) + added),
            read.addr.eq(Cat(read_at, self.read_half)),
            read.en.eq(self.read),
            found.eq(read.data),
        ]
