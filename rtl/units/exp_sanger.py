"""The twin of ``sim/units/exp_sanger.py``: two adders for the constant, a table of steps, a shifter.

23 x is 24 x less x. Of its whole part every bit that can be a place is one level of the shifter, the smallest first;
a bit above those leaves nothing of the number. Words wrap as the model's do.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Value

from siloom.rtl.elastic import Values, elastic
from siloom.rtl.shifts import left_shifter, low_unread
from siloom.rtl.spread import ADD, LOOK_UP, SHIFT, Step, spread
from siloom.rtl.table import look_up
from siloom.rtl.twin import Twin
from siloom.sim.contract import fixed
from siloom.sim.units import exp_sanger

SHIFTED = low_unread("shifted")
"""The power with the places that are appended, which are cut off in the end."""


class ExpSanger(Twin):
    """e to an unsigned number of the size that ``design`` says."""

    def __init__(self, design: exp_sanger.ExpSanger) -> None:
        """Take the promise for this size."""
        super().__init__(exp_sanger.contract(design))
        self.design = design
        self.word = design.width + design.append
        self.point = design.fraction + design.append
        self.levels = min(design.width - design.fraction, (self.word - 1).bit_length())

    def elaborate(self, platform: object) -> Module:
        """The power of two, the line's value at its rest, the shift by its whole part."""
        m = Module()
        steps = [
            Step(self._times, 2 * ADD),
            Step(self._look_up, LOOK_UP),
            Step(self._add, ADD),
            *left_shifter(SHIFTED, "places", self.levels, self.word),
            Step(self._cut, SHIFT),
        ]
        elastic(m, self, spread(steps, fixed(self.contract.latency)))
        return m

    def _times(self, m: Module, given: Values, moves: Value) -> Values:
        x = given["x"]
        thrice = x + Cat(Const(0, 1), x)
        y = (Cat(Const(0, 3), thrice) - x)[: min(self.design.width + 5, self.word)]
        return {"y": Cat(y, Const(0, self.word - len(y)))}

    def _look_up(self, m: Module, given: Values, moves: Value) -> Values:
        design, rest, places = self.design, given["y"][: self.point], given["y"][self.point :]
        entries = exp_sanger.step_table(design.fraction, design.table_bits, design.append).tolist()
        step = look_up(m, "pieces", entries, self.point + 1, rest[self.point - design.table_bits :])
        # A bit of the whole part that is no level moves everything out of the word.
        return {"rest": rest, "step": step, "places": places[: self.levels], "beyond": places[self.levels :].any()}

    def _add(self, m: Module, given: Values, moves: Value) -> Values:
        power = (given["rest"] + given["step"])[: self.word]
        return {SHIFTED: power, "places": given["places"], "beyond": given["beyond"]}

    def _cut(self, m: Module, given: Values, moves: Value) -> Values:
        return {"power": Mux(given["beyond"], 0, given[SHIFTED][self.design.append :])}


TWIN = ExpSanger
