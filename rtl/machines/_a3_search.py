"""The greedy search, whose sums can be read by the scan while the next query is searched.

It is the search unit but for its memories of sums: they are banks, one for each row that the scan looks at in a cycle,
and have a part for every query that is searched, scanned or waits between the two. A row lies in the bank that the
lowest bits of its number say. Which rows have been written goes with the query. How many iterations a query gets, and
how many places of a column there are, is what its head wants.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib.memory import Memory

from siloom.rtl.barrel import named
from siloom.rtl.beside import after
from siloom.rtl.machines._a3_size import Size
from siloom.rtl.pick import pick
from siloom.rtl.units.greedy_search import GreedySearch, one_hot

GAIN, LOSS = "gain", "loss"


class Search(GreedySearch):
    """The search unit.

    Attributes:
        iterations: In: of a query; ``depth``: in: places of each end of a column.
        written: What was written of ``GAIN`` and of ``LOSS`` for the query that has been searched: a bit a row.
        group: In: which rows are shown, ``width`` of them; ``part``: in: of which query.
        sums: These rows' sums of what was added and of what was taken away.
    """

    def __init__(self, size: Size) -> None:
        """Make a unit of this size."""
        super().__init__(size.units.search)
        self.size = size
        self.iterations = Signal(size.iterations)
        self.depth = Signal(range(self.design.depth + 1))
        self.written = {name: Signal(size.keys, name=f"{name}_written") for name in (GAIN, LOSS)}
        self.group, self.part = Signal(size.group), Signal(size.part)
        self.sums: dict[str, list[Any]] = {
            name: [Signal(self.score, name=f"{name}_shown{bank}") for bank in range(size.width)]
            for name in (GAIN, LOSS)
        }
        self._own = Signal(size.part)

    def elaborate(self, platform: object) -> Module:
        """A query that leaves keeps its part of the memories."""
        m = super().elaborate(platform)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += self._own.eq(after(self._own, self.size.parts))
        return m

    def _sums(
        self, m: Module, name: str, starts: Value, number: Value, adds: Value, rows: dict[str, Value], same: Value
    ) -> dict[str, Value]:
        """What has been added up under ``name`` for each of two rows, with this cycle's number in its row."""
        size, written = self.size, self.written[name]
        banks = Module()
        m.submodules[f"{name}s"] = banks
        shown: dict[str, list[Any]] = {at: [] for at in rows}
        now = Signal(self.score, name=f"{name}_now")
        for bank in range(size.width):
            memory = Memory(shape=self.score, depth=1 << (size.group_bits + len(self.part)), init=[])
            banks.submodules[f"bank{bank}"] = memory
            for at, row in rows.items():
                port = memory.read_port(domain="comb")
                banks.d.comb += port.addr.eq(self._word(row, self._own))
                shown[at].append(port.data)
            scan, write = memory.read_port(domain="comb"), memory.write_port()
            banks.d.comb += [
                scan.addr.eq(Cat(self.group[: size.group_bits], self.part)),
                self.sums[name][bank].eq(scan.data),
                write.en.eq(adds & (rows[name][: size.width_bits] == bank)),
                write.addr.eq(self._word(rows[name], self._own)),
                write.data.eq(now),
            ]
        before: dict[str, Any] = {}
        for at, row in rows.items():
            data = pick(shown[at], row[: size.width_bits])
            before[at] = named(m, Mux(written.bit_select(row, 1), data, 0), f"{name}_before_{at}")
        m.d.comb += now.eq(before[name] + number)
        bit = one_hot(m, f"{name}_row_bit", rows[name], adds, size.keys)
        m.d.sync += written.eq(Mux(starts, 0, written | bit))
        return {at: Mux(adds if at == name else adds & same, now, old) for at, old in before.items()}

    def _word(self, row: Any, part: Any) -> Any:
        """Where a row's sums of a query lie in their bank."""
        return Cat(Value.cast(row)[self.size.width_bits :], part)
