"""One element of the output's rows: where its sums wait for those of the other engine, are added up and divided.

A row has as many of these side by side, all at the same at the same time, and one more of the first kind for the
weights' sum.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from siloom.rtl.beside import beside
from siloom.rtl.machines._vitcod_layouts import Layouts
from siloom.rtl.units.bank_sum import BankSum
from siloom.rtl.units.scaled_code import ScaledCode
from siloom.sim.units import bank_sum, reciprocal, scaled_code

ADDER = bank_sum.BankSum(banks=2, lanes=1)
RECIPROCAL = reciprocal.Reciprocal()


class SumLane(wiring.Component):
    """Both engines' sums of every row, and their adder.

    Attributes:
        parts: In: a sum of the denser and of the sparser engine, which are kept as ``given`` says, for row
            ``denser_at`` or ``sparser_at``.
        reads: In: sums of ``row`` are read; a cycle later ``used`` says which of them there are.
        valid, ready: In, Out: they go into the adder.
        made, taken: Out, In: ``total`` comes out of it.
    """

    parts: Any
    given: Any
    denser_at: Any
    sparser_at: Any
    reads: Any
    row: Any
    used: Any
    valid: Any
    ready: Any
    made: Any
    taken: Any
    total: Any

    def __init__(self, layouts: Layouts) -> None:
        self._layouts = layouts
        index = layouts.index
        super().__init__(
            {
                "parts": In(32).array(2),
                "given": In(2),
                "denser_at": In(index),
                "sparser_at": In(index),
                "reads": In(1),
                "row": In(index),
                "used": In(2),
                "valid": In(1),
                "ready": Out(1),
                "made": Out(1),
                "taken": In(1),
                "total": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Two memories and an addition."""
        m = Module()
        m.submodules.adder = adder = BankSum(ADDER)
        found = []
        for number, at in enumerate((self.denser_at, self.sparser_at)):
            memory = Memory(shape=32, depth=1 << self._layouts.index, init=[])
            m.submodules[f"sums{number}"] = memory
            write, read = memory.write_port(), memory.read_port()
            m.d.comb += [
                write.en.eq(self.given[number]),
                write.addr.eq(at),
                write.data.eq(self.parts[number]),
                read.en.eq(self.reads),
                read.addr.eq(self.row),
            ]
            found.append(Mux(self.used[number], read.data, 0))
        i: Any = adder.i
        o: Any = adder.o
        m.d.comb += [
            i.valid.eq(self.valid),
            Cat(*i.p.part).eq(Cat(found)),
            self.ready.eq(i.ready),
            self.made.eq(o.valid),
            self.total.eq(o.p.sum),
            o.ready.eq(self.taken),
        ]
        return m


class CodeLane(wiring.Component):
    """A sum that waits for the reciprocal of its row's weights, and their product as a code.

    Attributes:
        total: In: a sum; it begins to wait when ``enters``.
        valid, ready: In, Out: the oldest one is multiplied with ``share``.
        made, taken: Out, In: ``code`` comes out of it.
    """

    total: Any
    enters: Any
    valid: Any
    ready: Any
    share: Any
    made: Any
    taken: Any
    code: Any

    def __init__(self, layouts: Layouts) -> None:
        self._bits = layouts.size.bits
        super().__init__(
            {
                "total": In(32),
                "enters": In(1),
                "valid": In(1),
                "ready": Out(1),
                "share": In(32),
                "made": Out(1),
                "taken": In(1),
                "code": Out(signed(self._bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """A queue and a multiplier."""
        m = Module()
        m.submodules.scaled = scaled = ScaledCode(scaled_code.ScaledCode(lanes=1, code_bits=self._bits))
        i: Any = scaled.i
        o: Any = scaled.o
        leaves = Signal()
        m.d.comb += [
            i.valid.eq(self.valid),
            i.p.value.eq(beside(m, "waiting", 32, RECIPROCAL.stages, self.total, self.enters, leaves)),
            i.p.scale.eq(self.share),
            self.ready.eq(i.ready),
            leaves.eq(self.valid & i.ready),
            self.made.eq(o.valid),
            self.code.eq(o.p.code),
            o.ready.eq(self.taken),
        ]
        return m
