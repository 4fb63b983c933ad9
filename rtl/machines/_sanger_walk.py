"""Which sub-row comes next: part by part, in a part packer by packer. What has none is stepped over in no time."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal

from siloom.rtl.machines._sanger_pack import lowest
from siloom.rtl.machines._sanger_size import SangerSize
from siloom.rtl.pick import pick
from siloom.rtl.unread import unread


class Walk(Elaboratable):
    """Goes once over a head's sub-rows.

    Attributes:
        some: In: whether a part has sub-rows of a group, for every half, part and group.
        filled: In: how many there are where the walk stands.
        begin: In: a new head, in the other half; the walk stands at its first sub-row from the next cycle.
        step: In: the sub-row where the walk stands is taken.
        advance: In: a pass ends: if the part does, the next one's turn begins.
        half, part, group, at: Where the walk stands.
        given: Whether there is a sub-row here; not where a pass has had the last one of a part.
        more: Whether there is anything left behind this cycle.
    """

    def __init__(self, size: SangerSize, some: list[list[Any]], count_bits: int) -> None:
        self.size, self.some = size, some
        self.filled: Any = Signal(count_bits)
        self.begin: Any = Signal()
        self.step: Any = Signal()
        self.advance: Any = Signal()
        self.half: Any = Signal()
        self.part: Any = Signal(size.part_bits)
        self.group: Any = Signal(range(max(2, size.groups)))
        self.at: Any = Signal(count_bits)
        self.given: Any = Signal()
        self.more: Any = Signal()

    def elaborate(self, platform: object) -> Module:
        """The next group of the part, else the next part."""
        m = Module()
        size = self.size
        half: Any = Signal()
        m.d.comb += half.eq(self.half ^ self.begin)
        rows = [Mux(half, self.some[1][p], self.some[0][p]) for p in range(size.parts)]
        here: Any = Signal(size.groups)
        m.d.comb += here.eq(pick(rows, self.part))
        behind: Any = Signal(size.groups - 1)  # but for the first group, which is behind none
        m.d.comb += behind.eq(Cat(here[g] & (self.group < g) for g in range(1, size.groups)))
        further: Any = Signal(size.parts)
        m.d.comb += further.eq(
            Cat(rows[p].any() & (self.begin | (self.part < p if p else 0)) for p in range(size.parts))
        )  # fmt: skip
        unread(m, [here[0]])
        next_part: Any = lowest(m, "next_part", further, size.part_bits)
        there: Any = Signal(size.groups)
        m.d.comb += there.eq(pick(rows, next_part))
        same_group = lowest(m, "same_group", Cat(Const(0, 1), behind), len(self.group))
        new_group = lowest(m, "new_group", there, len(self.group))

        group, at = Signal(self.group.shape(), name="then_group"), Signal(self.at.shape(), name="then_at")
        given: Any = Signal()
        m.d.comb += [group.eq(self.group), at.eq(self.at), given.eq(self.given)]
        with m.If(self.step & self.given):
            m.d.comb += at.eq(self.at + 1)
            with m.If(self.at + 1 == self.filled):
                m.d.comb += [at.eq(0), group.eq(same_group), given.eq(behind.any())]
        m.d.comb += self.more.eq(given | further.any())
        m.d.sync += [self.group.eq(group), self.at.eq(at), self.given.eq(given)]
        with m.If(self.begin | (self.advance & ~given)):
            m.d.sync += [self.part.eq(next_part), self.group.eq(new_group), self.at.eq(0), self.given.eq(further.any())]
        with m.If(self.begin):
            m.d.sync += self.half.eq(half)
        return m
