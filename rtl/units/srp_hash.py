"""The twin of ``sim/units/srp_hash.py``: three mode products after one another on the same multipliers.

Every product of the three modes is a term, in the model's order, and ``multipliers`` of them are worked on in a cycle
(:mod:`siloom.rtl.weighted_sums`). Where the multipliers end a mode within a step, the next mode begins in it: its
logic then lies behind that of the first, as it must to keep the promised cycles. Sums stay exact; of the last mode only
signs go on, into the output register.
"""

from __future__ import annotations

from math import prod

from amaranth.hdl import Cat, Module

from siloom.rtl.lanes import lanes
from siloom.rtl.stepped import stepped
from siloom.rtl.term_schedule import Term
from siloom.rtl.twin import Twin
from siloom.rtl.weighted_sums import WeightedSums
from siloom.sim.contract import fixed
from siloom.sim.units import srp_hash


class SrpHash(Twin):
    """A hash unit of the size, and with the factors, that ``design`` says."""

    def __init__(self, design: srp_hash.SrpHash) -> None:
        """Take the promise for this size."""
        super().__init__(srp_hash.contract(design))
        self.design = design

    def elaborate(self, platform: object) -> Module:
        """Sums of one mode are numbers of the next."""
        m = Module()
        step, works = stepped(m, self, fixed(self.contract.latency))
        terms = self._terms()
        sums = WeightedSums(m, step, works, lanes(self.i.p.x), terms, self.design.multipliers)
        first = terms[-1].target + 1 - self.design.dim if terms else 0
        words = Cat(lanes(self.o.p.hash))
        for j in range(self.design.dim):
            sums.store(first + j, sums.value(first + j) >= 0, words[j])
        return m

    def _terms(self) -> list[Term]:
        """Each mode's numbers follow those of the mode before; a side of 1 is no mode."""
        dim, sides = self.design.dim, self.design.sides
        found: list[Term] = []
        source = 0
        for mode in reversed(range(len(sides))):
            side, inner = sides[mode], prod(sides[mode + 1 :])
            if side == 1:
                continue
            for element in range(dim):
                row, at = element // inner % side, element % inner + element // (inner * side) * (inner * side)
                weights = self.design.factors[mode][row].tolist()
                found += [Term(source + dim + element, source + at + k * inner, w) for k, w in enumerate(weights)]
            source += dim
        return found


TWIN = SrpHash
