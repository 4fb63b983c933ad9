"""A column of a search: both of its sorted ends in memories, and the products of a query's element with them, in order.

A memory's own output register is the place that is next; calling it reads the one behind. Which end has the column's
largest products and which its smallest follows from the sign of the query's element.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from siloom.rtl.barrel import named
from siloom.sim.units.greedy_search import GreedySearch


@dataclass(frozen=True)
class End:
    """One end of a column: its next place, with a bit on top while there is one, and a wire that calls it."""

    shows: Value
    called: Signal


class SortedColumn(wiring.Component):
    """A column of a search unit of some size.

    Attributes:
        starts: A query starts with the element ``value``; it goes to the first places.
        writes_low: ``value`` and ``row`` are written at ``at`` of the low end.
        writes_high: The same of the high end.
        depth: Places that there are while a query is searched.
        large: The largest product that is left.
        small: The smallest one.
        large_called: The next one is to be shown.
        small_called: The same.
    """

    starts: Signal
    writes_low: Signal
    writes_high: Signal
    at: Signal
    value: Signal
    row: Signal
    depth: Signal
    large: Any
    small: Any
    large_called: Signal
    small_called: Signal

    def __init__(self, design: GreedySearch) -> None:
        self._design = design
        product = data.StructLayout({"number": signed(2 * design.value_bits), "row": design.row.bits, "left": 1})
        super().__init__(
            {
                "starts": In(1),
                "writes_low": In(1),
                "writes_high": In(1),
                "at": In(design.place.bits),
                "value": In(signed(design.value_bits)),
                "row": In(design.row.bits),
                "depth": In(range(design.depth + 1)),
                "large": Out(product),
                "small": Out(product),
                "large_called": In(1),
                "small_called": In(1),
            }
        )
        self._end = data.StructLayout({"value": signed(design.value_bits), "row": design.row.bits, "left": 1})

    @staticmethod
    def module(design: GreedySearch) -> str:
        """The name of its kind, for :func:`siloom.rtl.shared.place`."""
        return f"sorted_column_{design.value_bits}_{design.row.bits}_{design.depth}"

    def elaborate(self, platform: object) -> Module:
        """The query's element, both ends, and their products."""
        m = Module()
        query: Any = Signal(self.value.shape(), name="query", reset_less=True)
        with m.If(self.starts):
            m.d.sync += query.eq(self.value)
        positive = named(m, ~query[-1] & query.any(), "positive")
        low, high = self._memory(m, "low", self.writes_low), self._memory(m, "high", self.writes_high)
        for name, product, one, other in (("large", self.large, high, low), ("small", self.small, low, high)):
            end: Any = Signal(self._end, name=f"{name}_end")
            m.d.comb += [
                end.eq(Mux(positive, one.shows, other.shows)),
                product.number.eq(query * end.value),
                product.row.eq(end.row),
                product.left.eq(end.left),
            ]
        large, small = self.large_called, self.small_called
        m.d.comb += [low.called.eq(Mux(positive, small, large)), high.called.eq(Mux(positive, large, small))]
        return m

    def _memory(self, m: Module, name: str, writes: Value) -> End:
        """One end of the column."""
        written = Cat(self.value, self.row)
        # All addresses exist, so that a simulator need not care about that behind the last place.
        memory = Memory(shape=len(written), depth=1 << len(self.at), init=[])
        m.submodules[name] = memory
        write, read = memory.write_port(), memory.read_port()
        behind, left = Signal(self.depth.shape(), name=f"{name}_behind"), Signal(name=f"{name}_left")
        called = Signal(name=f"{name}_called")
        m.d.comb += [
            write.en.eq(writes),
            write.addr.eq(self.at),
            write.data.eq(written),
            read.en.eq(self.starts | called),
            read.addr.eq(Mux(self.starts, 0, behind)[: len(read.addr)]),
        ]
        with m.If(self.starts):
            m.d.sync += [behind.eq(1), left.eq(1)]
        with m.Elif(called):
            with m.If(behind == self.depth):
                m.d.sync += left.eq(0)
            with m.Else():
                m.d.sync += behind.eq(behind + 1)
        return End(Cat(read.data, left), called)
