"""The twin of ``sim/units/pack_split.py``: every kept key learns its rank, and the lowest ranks leave.

A network of adders counts the keys kept below each column; a key whose count is ``p`` goes to place ``p`` of the
sub-row. Keys for which there is no place wait in a register, and the same logic takes them in the next cycle, as if
they were a row, so a new row is taken only once none is left. The output register holds the sub-row.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from siloom.rtl.elastic import Values, elastic
from siloom.rtl.twin import Twin
from siloom.sim.units import pack_split


class PackSplit(Twin):
    """A packer of the size that ``design`` says."""

    def __init__(self, design: pack_split.PackSplit) -> None:
        """Take the promise for this size."""
        super().__init__(pack_split.contract(design))
        self.design = design

    def elaborate(self, platform: object) -> Module:
        """What is left of a row goes before the next one."""
        m = Module()
        rest, keys = Signal(self.design.columns), Signal(self.design.columns)
        room, goes_on = Signal(), Signal()
        m.d.comb += [
            goes_on.eq(rest.any()),
            keys.eq(Mux(goes_on, rest, self.i.p.row)),
            self.i.ready.eq(room & ~goes_on),
        ]
        elastic(m, self, [partial(self._pack, keys, rest)], offer=self.i.valid | goes_on, room=room)
        return m

    def _pack(self, keys: Signal, rest: Signal, m: Module, given: Values, moves: Value) -> Values:
        columns, places = self.design.columns, self.design.places
        *below, total = [Const(0, 0), *counts_up_to(m, keys)]
        with m.If(moves):
            m.d.sync += rest.eq(Cat(key & (count >= places) for key, count in zip(keys, below, strict=True)))

        highest = self._column(m, "highest", [keys[c] & ~keys[c + 1 :].any() for c in range(columns)])
        found = [highest] * places
        for place in range(min(places, columns)):
            here = [keys[c] & (~below[c].any() if place == 0 else below[c] == place) for c in range(columns)]
            # Of a sub-row that is not full every key has its place, so its last one is the highest.
            found[place] = Mux(total > place, self._column(m, f"column{place}", here), highest)
        return {
            "column": Cat(found),
            "count": Mux(total > places, places, total) if places < columns else total,
            "gives": total != 0,
        }

    def _column(self, m: Module, name: str, here: Sequence[Value]) -> Value:
        """The one column, of all, that is here."""
        bits = [Signal(name=f"{name}_{bit}") for bit in range(self.design.column.bits)]
        m.d.comb += [
            wire.eq(Cat(hit for c, hit in enumerate(here) if c >> bit & 1).any()) for bit, wire in enumerate(bits)
        ]
        return Cat(bits)


def counts_up_to(m: Module, bits: Value) -> list[Value]:
    """For every bit, how many are set up to and with it: in log2 levels, each half adding the one below."""
    counts: list[Value] = list(bits)
    half = 1
    while half < len(counts):
        for at in range(len(counts)):
            if at & half:
                count = Signal(range((at & (2 * half - 1)) + 2), name=f"count{half}_{at}")
                m.d.comb += count.eq(counts[(at | (half - 1)) - half] + counts[at])
                counts[at] = count
        half *= 2
    return counts


TWIN = PackSplit
