"""The twin of ``sim/units/chunk_merger.py``: a sorted list of heads, an adder, and the output register as the sum.

A beat is put into the list. When it has found its place, and whenever a result has left whose chunk has no more
elements, the front of the list is popped: everything that is known of it goes to the output register at once, and
its value too unless it is to be added to the sum that stands there. Then the adder, which no other beat can need, has
all the cycles that the Contract gives it, in stages without any enable: its operands wait. A list of one head, or one
that is walked in no time, is made of registers; else it is a memory.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data

from siloom.rtl.barrel import named
from siloom.rtl.elastic import Stage, Values
from siloom.rtl.float_sum import Logic, adder
from siloom.rtl.floats import unpack
from siloom.rtl.head_list import HeadList, shifted_list, walked_list
from siloom.rtl.hold import hold
from siloom.rtl.spread import Step, spread
from siloom.rtl.twin import Twin
from siloom.sim.contract import FP64
from siloom.sim.units import chunk_merger
from siloom.sim.units.outer_multiplier import QUIET_NAN


class ChunkMerger(Twin):
    """A chunk merger of the size that ``design`` says."""

    def __init__(self, design: chunk_merger.ChunkMerger) -> None:
        """Take the promise for this size."""
        super().__init__(chunk_merger.contract(design))
        self.design = design

    def elaborate(self, platform: object) -> Module:
        """The list, what goes into it, and what becomes of its front."""
        m = Module()
        heads = self._make_list(m)
        merging, pending, works = Signal(), Signal(), Signal()
        room, takes = Signal(), Signal()
        m.d.comb += [
            room.eq((~self.o.valid | self.o.ready) & ~works),
            self.i.ready.eq(room & ~heads.walking & ~pending),
            takes.eq(self.i.valid & self.i.ready),
        ]
        last = named(m, heads.front.end & ~heads.more, "last")
        self._insert(m, heads, takes, merging, last)
        due = named(m, pending | (takes & (merging | self.i.p.go)), "due")
        m.d.comb += heads.pop.eq(due & heads.settled & room)
        # Of a chunk that is done the next pop follows without a beat.
        m.d.sync += pending.eq(Mux(heads.pop, heads.front.end & heads.more, due))
        m.d.sync += merging.eq(Mux(heads.pop, ~last, merging | due))
        self._give(m, heads, works, last)
        return m

    def add(self, m: Module, total: Value, value: Value, cycles: int) -> Any:
        """The code of the sum of two codes, ``cycles`` after they have begun to stand still, this one counted."""
        (first, depth), *others = adder(FP64, saturate=False)

        def meet(m: Module, given: Values, moves: Value) -> Values:
            return {"sum": first(m, (unpack(m, total, FP64), unpack(m, value, FP64)))}

        def onward(logic: Logic) -> Stage:
            return lambda m, given, moves: {"sum": logic(m, given["sum"])}

        steps = [Step(meet, depth), *[Step(onward(logic), depth) for logic, depth in others]]
        stages = spread(steps, min(cycles, len(steps)))
        given = stages[0](m, {}, Const(1))
        for number, stage in enumerate(stages[1:], 1):
            given = stage(m, {"sum": hold(m, given["sum"], f"sum{number}")}, Const(1))
        return given["sum"]

    def _make_list(self, m: Module) -> HeadList:
        ports, design = self.o.p.shape().members, self.design
        layout = data.StructLayout({"column": ports["column"], "chunk": ports["chunk"], "end": 1, "value": FP64.bits})
        if design.heads == 1 or design.step_cycles == 0:
            return shifted_list(m, layout, design.heads)
        return walked_list(m, layout, design.heads, design.step_cycles)

    def _insert(self, m: Module, heads: HeadList, takes: Value, merging: Value, last: Value) -> None:
        """Every beat is a head: of the next chunk while a row is loaded, then of the chunk that was popped."""
        loaded = Signal(self.o.p.chunk.shape())
        m.d.comb += [
            heads.insert.eq(takes),
            heads.new.column.eq(self.i.p.column),
            heads.new.chunk.eq(Mux(merging, self.o.p.chunk, loaded)),
            heads.new.end.eq(self.i.p.end),
            heads.new.value.eq(self.i.p.value),
        ]
        with m.If(heads.pop & last):
            m.d.sync += loaded.eq(0)
        with m.Elif(takes & ~merging):
            m.d.sync += loaded.eq(loaded + 1)

    def _give(self, m: Module, heads: HeadList, works: Signal, last: Value) -> None:
        """Make a popped head a result: at once, or after cycles in which ``works`` is high."""
        front, result, design = heads.front, self.o.p, self.design
        goes_on = named(m, heads.more & (heads.next_column == front.column), "goes_on")
        adds = Signal()  # to the sum at the output
        with m.If(heads.pop):
            m.d.sync += [
                result.column.eq(front.column),
                result.entry.eq(~goes_on),
                result.last.eq(last),
                result.refill.eq(~front.end),
                result.chunk.eq(front.chunk),
                adds.eq(goes_on),
            ]
        cycles = design.element_cycles + design.add_cycles - 1  # of a sum, after that of the pop
        alone = _from_zero(front.value)
        if not cycles:
            with m.If(heads.pop):
                m.d.sync += [
                    result.sum.eq(Mux(adds, self.add(m, result.sum, front.value, 1), alone)),
                    self.o.valid.eq(1),
                ]
            with m.Elif(self.o.ready):
                m.d.sync += self.o.valid.eq(0)
            return
        addend, sums, left = Signal(FP64.bits), Signal(), Signal(range(cycles))
        total = self.add(m, result.sum, addend, cycles)
        with m.If(heads.pop):
            at_once = ~adds if design.element_cycles == 1 else Const(0)
            m.d.sync += [addend.eq(front.value), sums.eq(adds), works.eq(~at_once), self.o.valid.eq(at_once)]
            m.d.sync += left.eq(Mux(adds, cycles - 1, max(design.element_cycles - 2, 0)))
            with m.If(~adds):
                m.d.sync += result.sum.eq(alone)
        with m.Elif(works & left.any()):
            m.d.sync += left.eq(left - 1)
        with m.Elif(works):
            m.d.sync += [works.eq(0), self.o.valid.eq(1)]
            with m.If(sums):
                m.d.sync += result.sum.eq(total)
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)


def _from_zero(code: Any) -> Any:
    """The code of +0 and a number."""
    size = code[:-1]
    no_number = code[FP64.mantissa_bits : -1].all() & code[: FP64.mantissa_bits].any()
    return Mux(no_number, QUIET_NAN, Cat(size, code[-1] & size.any()))


TWIN = ChunkMerger
