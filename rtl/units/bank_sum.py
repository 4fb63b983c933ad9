"""The twin of ``sim/units/bank_sum.py``: adders in single precision, one bank behind the other.

Each addition is dealt out over its own stages. What later banks have to add waits in registers beside the sums.
"""

from __future__ import annotations

from functools import partial

from amaranth.hdl import Cat, Module, Value

from siloom.rtl.elastic import Stage, Values, elastic
from siloom.rtl.float_sum import Logic, adder
from siloom.rtl.floats import unpack
from siloom.rtl.lanes import lanes, side_by_side
from siloom.rtl.spread import Step, spread
from siloom.rtl.twin import Twin
from siloom.sim.contract import FP32
from siloom.sim.units import bank_sum


class BankSum(Twin):
    """Sums of several banks, of the size that ``design`` says."""

    def __init__(self, design: bank_sum.BankSum) -> None:
        """Take the promise for this size."""
        super().__init__(bank_sum.contract(design))
        self.design = design

    def elaborate(self, platform: object) -> Module:
        """One addition after another."""
        m = Module()
        apart, together = Step(self._apart, 0), Step(self._together, 0)
        stages: list[Stage] = []
        last = self.design.banks - 1
        for bank in range(1, last + 1):
            (first, depth), *others = adder(FP32, saturate=False)
            steps = [Step(partial(self._meet, bank, first), depth)]
            steps += [Step(partial(self._each, logic), depth) for logic, depth in others]
            before, behind = [apart] if bank == 1 else [], [together] if bank == last else []
            stages += spread([*before, *steps, *behind], self.design.add_stages)
        elastic(m, self, stages or spread([apart, together], 1))
        return m

    def _apart(self, m: Module, given: Values, moves: Value) -> Values:
        """The first bank's lanes are the sums so far; every other bank's are one value."""
        count = self.design.lanes
        parts = lanes(given["part"])
        banks = [parts[first : first + count] for first in range(0, len(parts), count)]
        sums = {f"sum{lane}": part for lane, part in enumerate(banks[0])}
        return sums | {f"bank{bank}": Cat(*found) for bank, found in enumerate(banks) if bank}

    def _meet(self, bank: int, logic: Logic, m: Module, given: Values, moves: Value) -> Values:
        """The first part of an addition, on codes of the sums so far and of a bank."""
        found = {name: value for name, value in given.items() if name != f"bank{bank}"}
        for lane in range(self.design.lanes):
            part = given[f"bank{bank}"].word_select(lane, FP32.bits)
            pair = unpack(m, given[f"sum{lane}"], FP32), unpack(m, part, FP32)
            found[f"sum{lane}"] = logic(m, pair)
        return found

    def _each(self, logic: Logic, m: Module, given: Values, moves: Value) -> Values:
        """Another part of it, in all lanes."""
        return {name: logic(m, value) if name.startswith("sum") else value for name, value in given.items()}

    def _together(self, m: Module, given: Values, moves: Value) -> Values:
        sums = [given[f"sum{lane}"] for lane in range(self.design.lanes)]
        return {"sum": side_by_side(m, "sums", FP32.bits, sums)}


TWIN = BankSum
