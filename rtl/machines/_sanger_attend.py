"""The sparse array's control: passes as phases, and what every row of PEs needs, in the cycle in which it needs it.

A pass is two phases of ``dim`` cycles: scores, then values. Between the two a pass's scores must become powers, so
phases of two passes take turns: scores of the next, values of this one. Rows work a cycle behind one another; so
sub-rows, query words and sums come and go one at a time, each memory through one port.

Step by step, from the cycle in which an element's turn begins: a sub-row is read; its query's word and the largest
score are; the element of the tile's keys or values is, and the row is told what it does.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.memory import Memory

from siloom.models._sanger_units import SETTLE, fill_cycles
from siloom.rtl.machines._sanger_layouts import head_layout, step_layout, sub_row_layout, task_layout
from siloom.rtl.machines._sanger_predict import later, tiles
from siloom.rtl.machines._sanger_size import SangerSize
from siloom.rtl.machines._sanger_walk import Walk
from siloom.rtl.pick import pick
from siloom.rtl.unread import unread
from siloom.sim.selection.predicted_scores import SCALE


class Phase(IntEnum):
    """What the array is given."""

    IDLE = 0
    SCORES = 1
    VALUES = 2
    WAIT = 3
    DRAIN = 4


class Attend(Elaboratable):
    """Control of the sparse array.

    Attributes:
        begin: In: a head comes, whose ``head`` it is; only when ``free``.
        free: No head is left behind this cycle; ``ends``: one leaves in this cycle.
        head: The head that is worked on.
        q_at, kv_at: Addresses of operands' words.
        some, filled, sub_row: In: as :class:`siloom.rtl.machines._sanger_pack.Pack` gives them.
        task: What the row ``row`` gets when ``task_given``, with the word of Q that is there then.
        word_given: Whether that word is for row ``row``.
        parity: Which of a row's two tasks it is.
        step: What the uppermost row does; its keys or values are there then.
    """

    def __init__(self, size: SangerSize, some: list[list[Any]], count_bits: int, largest: list[Any]) -> None:
        self.size = size
        self.walk = Walk(size, some, count_bits)
        self.largest_words = largest
        self.largest_given: Any = Signal()
        self.largest_at: Any = Signal(size.block_bits + 1)
        self.begin: Any = Signal()
        self.free: Any = Signal()
        self.ends: Any = Signal()
        self.given_head: Any = Signal(head_layout(size))
        self.head: Any = Signal(head_layout(size))
        self.half: Any = Signal()
        self.q_at: Any = Signal(size.word_bits)
        self.kv_at: Any = Signal(range(max(2, size.kv_words)))
        self.sub_row: Any = Signal(sub_row_layout(size))
        self.task: Any = Signal(task_layout(size))
        self.task_given: Any = Signal()
        self.word_given: Any = Signal()
        self.row: Any = Signal(size.row_bits)
        self.parity: Any = Signal()
        self.step: Any = Signal(step_layout(size))

    def elaborate(self, platform: object) -> Module:
        """Phases, then what follows from them."""
        m = Module()
        size = self.size
        m.submodules.walk = walk = self.walk
        phase: Any = Signal(Phase)
        element: Any = Signal(size.element_bits)
        pass_parity, first_pass = Signal(), Signal()
        part_of = [Signal(size.part_bits, name=f"part_of{n}") for n in range(2)]
        settle = [Signal(range(SETTLE + 1), name=f"settle{n}") for n in range(2)]
        values_parity: Any = Signal()
        drain_cycles = fill_cycles(size.rows)
        drain: Any = Signal(range(drain_cycles + 1))
        scores, values, end = Signal(), Signal(), Signal()
        m.d.comb += [
            scores.eq(phase == Phase.SCORES),
            values.eq(phase == Phase.VALUES),
            end.eq(element + 1 == self.head.dim),
            self.ends.eq((phase == Phase.DRAIN) & (drain == 1)),
            self.free.eq((phase == Phase.IDLE) | self.ends),
            walk.begin.eq(self.begin),
            walk.step.eq(scores & ~element[size.row_bits :].any()),
            self.half.eq(walk.half),
        ]
        for n in range(2):
            with m.If(settle[n] != 0):
                m.d.sync += settle[n].eq(settle[n] - 1)
        with m.If(scores | values):
            m.d.sync += element.eq(Mux(end, 0, element + 1))

        # Scores, then the values of the pass before; after the last scores, those of both passes that are left.
        go_scores, go_values, go_wait = Signal(), Signal(), Signal()
        ready = [settle[n] <= 1 for n in range(2)]
        next_values: Any = Signal()
        with m.If(scores & end):
            for n in range(2):
                with m.If(pass_parity == n):
                    m.d.sync += settle[n].eq(SETTLE)
            with m.If(first_pass & walk.more):
                m.d.comb += go_scores.eq(1)
            with m.Elif(first_pass):
                m.d.comb += [go_wait.eq(1), next_values.eq(pass_parity)]
            with m.Else():
                m.d.comb += next_values.eq(~pass_parity)
                m.d.comb += [go_values.eq(pick(ready, ~pass_parity)), go_wait.eq(~go_values)]
        with m.If(values & end):
            with m.If(walk.more):
                m.d.comb += go_scores.eq(1)
            with m.Elif(values_parity != pass_parity):
                m.d.comb += next_values.eq(pass_parity)
                m.d.comb += [go_values.eq(pick(ready, pass_parity)), go_wait.eq(~go_values)]
            with m.Else():
                m.d.sync += [phase.eq(Phase.DRAIN), drain.eq(drain_cycles)]
        with m.If(phase == Phase.WAIT):
            m.d.comb += [next_values.eq(values_parity), go_values.eq(pick(ready, values_parity))]
        with m.If(phase == Phase.DRAIN):
            m.d.sync += drain.eq(drain - 1)
        with m.If(self.ends):
            m.d.sync += phase.eq(Phase.IDLE)
        m.d.comb += walk.advance.eq(go_scores)
        with m.If(go_scores):
            m.d.sync += [phase.eq(Phase.SCORES), pass_parity.eq(~pass_parity), first_pass.eq(0)]
        with m.If(go_values):
            m.d.sync += [phase.eq(Phase.VALUES), values_parity.eq(next_values)]
        with m.If(go_wait):
            m.d.sync += [phase.eq(Phase.WAIT), values_parity.eq(next_values)]
        with m.If(self.begin):
            m.d.sync += [
                phase.eq(Phase.SCORES), pass_parity.eq(0), first_pass.eq(1), self.head.eq(self.given_head),
                element.eq(0),
            ]  # fmt: skip
        for n in range(2):
            with m.If(scores & (pass_parity == n) & (element == 0)):
                m.d.sync += part_of[n].eq(walk.part)
        self._fetch(m, scores, element, pass_parity)
        self._operands(m, scores, values, element, end, Mux(values, values_parity, pass_parity), part_of)
        return m

    def _fetch(self, m: Module, scores: Any, element: Any, parity: Any) -> None:
        """A sub-row of each pass to every row, and a word of its query whenever it has used one up."""
        size = self.size
        chunk = element[size.row_bits :]
        opens = later(m, scores & ~chunk.any(), 1, "fetches")
        runs1 = later(m, scores, 1, "runs")
        given1 = later(m, self.walk.given, 1, "found")
        chunk1 = later(m, chunk, 1, "chunk")
        words = self.head.dim[size.row_bits :]
        base: Any = Signal(size.word_bits)
        ring = [Signal(size.word_bits, name=f"base{n}") for n in range(size.rows)]
        m.d.comb += base.eq(Mux(opens, lowest_bits(m, "base", self.sub_row.query * words, size.word_bits), ring[-1]))
        with m.If(runs1):
            m.d.sync += [after.eq(before) for before, after in zip([base, *ring], ring, strict=False)]
        m.d.comb += self.q_at.eq(base + chunk1)

        m.submodules.largest = largest = Memory(
            shape=data.ArrayLayout(signed(SCALE.score_bits), size.rows), depth=2 << size.block_bits, init=[]
        )
        write, read = largest.write_port(), largest.read_port()
        m.d.comb += [
            write.en.eq(self.largest_given),
            write.addr.eq(self.largest_at),
            Value.cast(write.data).eq(Cat(self.largest_words)),
            read.addr.eq(Cat(self.sub_row.query[size.row_bits :], self.half)),
        ]
        # Of every query, whether a sub-row of it came before.
        seen: Any = Signal(1 << size.query_bits)
        known: Any = Signal()
        m.d.comb += known.eq(pick(list(seen), self.sub_row.query))
        with m.If(opens & given1), m.Switch(self.sub_row.query):
            for query in range(len(seen)):
                with m.Case(query):
                    m.d.sync += seen[query].eq(1)
        with m.If(self.begin):
            m.d.sync += seen.eq(0)
        held: Any = Signal(sub_row_layout(size), name="sub_row2")
        m.d.sync += held.eq(self.sub_row)
        m.d.comb += [
            self.task.columns.eq(held.columns),
            self.task.count.eq(Mux(later(m, given1, 1, "given"), held.count, 0)),
            self.task.query.eq(held.query),
            self.task.base.eq(later(m, base, 1, "base")),
            self.task.first.eq(later(m, ~known, 1, "first")),
            self.task.largest.eq(pick(list(read.data), held.query[: size.row_bits]).as_signed()),
            self.task_given.eq(later(m, opens, 1, "task")),
            self.word_given.eq(later(m, runs1, 1, "word")),
            self.row.eq(later(m, element[: size.row_bits], 2, "row")),
            self.parity.eq(later(m, parity, 2, "parity")),
        ]

    def _operands(
        self, m: Module, scores: Any, values: Any, element: Any, end: Any, parity: Any, part_of: list[Any]
    ) -> None:
        """The address of the tile's keys or values two cycles later, what rows do with them three cycles later."""
        size = self.size
        step: Any = Signal(self.step.shape())
        m.d.comb += [
            step.valid.eq(scores | values),
            step.values.eq(values),
            step.first.eq(element == 0),
            step.last.eq(end),
            step.parity.eq(parity),
            step.element.eq(element),
        ]
        step2 = later(m, step, 2, "step")
        m.d.sync += self.step.eq(step2)
        parts = tiles(m, "parts", self.head.seq, size.column_bits)
        tile: Any = Signal(range(max(2, size.kv_words)))
        early, early_values = later(m, parity, 1, "early"), later(m, values, 1, "early_values")
        first = (pick(part_of, early) + Mux(early_values, parts, 0)) * self.head.dim
        m.d.sync += tile.eq(lowest_bits(m, "tile", first, len(tile)))
        m.d.comb += self.kv_at.eq(tile + step2.element)


def lowest_bits(m: Module, name: str, value: Any, bits: int) -> Any:
    """The lowest bits of a number that has no others set."""
    wire: Any = Signal(Value.cast(value).shape(), name=f"{name}_whole")
    m.d.comb += wire.eq(value)
    if len(wire) > bits:
        unread(m, [wire[bits:]])
    return wire[:bits]
