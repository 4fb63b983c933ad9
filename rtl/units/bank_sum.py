"""The twin of ``sim/units/bank_sum.py``: in every lane adders in single precision, one bank behind the other.

Each addition is dealt out over its own stages. What later banks have to add waits in registers beside the sum.
"""

from __future__ import annotations

from functools import partial

from amaranth.hdl import Module, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from siloom.rtl.elastic import Stage, Values, elastic
from siloom.rtl.float_sum import Logic, adder
from siloom.rtl.floats import unpack
from siloom.rtl.lanes import lanes
from siloom.rtl.lockstep import lockstep
from siloom.rtl.spread import Step, spread
from siloom.rtl.twin import Twin
from siloom.sim.contract import FP32
from siloom.sim.units import bank_sum


class Lane(wiring.Component):
    """One sum over all banks.

    Attributes:
        i: What every bank has to add, the first as ``sum``.
        o: The sum.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, design: bank_sum.BankSum) -> None:
        self.design = design
        parts = {"sum": FP32.bits} | {f"bank{bank}": FP32.bits for bank in range(1, design.banks)}
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout(parts))),
                "o": Out(stream.Signature(data.StructLayout({"sum": FP32.bits}))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """One addition after another."""
        m = Module()
        stages: list[Stage] = []
        for bank in range(1, self.design.banks):
            (first, depth), *others = adder(FP32, saturate=False)
            steps = [Step(partial(_meet, f"bank{bank}", first), depth)]
            steps += [Step(partial(_onward, logic), depth) for logic, depth in others]
            stages += spread(steps, self.design.add_stages)
        elastic(m, self, stages or [lambda m, given, moves: given])
        return m


class BankSum(Twin):
    """Sums of several banks, of the size that ``design`` says."""

    def __init__(self, design: bank_sum.BankSum) -> None:
        """Take the promise for this size."""
        super().__init__(bank_sum.contract(design))
        self.design = design

    def elaborate(self, platform: object) -> Module:
        """A lane each."""
        m = Module()
        design = self.design
        sums, given = lanes(self.o.p.sum), lanes(self.i.p.part)
        parts = {f"lane{number}": Lane(design) for number in range(len(sums))}
        lockstep(m, platform, self, parts, f"bank_sum_lane_{design.banks}_{design.add_stages}")
        for number, (lane, total) in enumerate(zip(parts.values(), sums, strict=True)):
            m.d.comb += total.eq(lane.o.p.sum)
            for bank, name in enumerate(lane.i.p.shape().members):
                m.d.comb += lane.i.p[name].eq(given[bank * design.lanes + number])
        return m


def _meet(part: str, logic: Logic, m: Module, given: Values, moves: Value) -> Values:
    """The first part of an addition, on codes of the sum so far and of a bank."""
    rest = {name: value for name, value in given.items() if name != part}
    return {**rest, "sum": logic(m, (unpack(m, given["sum"], FP32), unpack(m, given[part], FP32)))}


def _onward(logic: Logic, m: Module, given: Values, moves: Value) -> Values:
    """Another part of it."""
    return {**given, "sum": logic(m, given["sum"])}


TWIN = BankSum
