"""The twin of ``sim/units/ternary_projection.py``: adders and subtracters in the places that the matrix says.

Each entry of the matrix that is not 0 is a term; ``adders`` of them are worked on in a cycle, element by element of the
projection (:mod:`siloom.rtl.weighted_sums`). Elements go straight into the output register.
"""

from __future__ import annotations

from amaranth.hdl import Module

from siloom.rtl.lanes import lanes
from siloom.rtl.stepped import stepped
from siloom.rtl.term_schedule import Term
from siloom.rtl.twin import Twin
from siloom.rtl.unread import unread
from siloom.rtl.weighted_sums import WeightedSums
from siloom.sim.contract import fixed
from siloom.sim.units import ternary_projection


class TernaryProjection(Twin):
    """A projection of the size, and by the matrix, that ``design`` says."""

    def __init__(self, design: ternary_projection.TernaryProjection) -> None:
        """Take the promise for this size."""
        super().__init__(ternary_projection.contract(design))
        self.design = design

    def elaborate(self, platform: object) -> Module:
        """Sums of the elements that count, up or down, for every column of the matrix."""
        m = Module()
        step, works = stepped(m, self, fixed(self.contract.latency))
        given, results = lanes(self.i.p.x), lanes(self.o.p.y)
        sums = WeightedSums(m, step, works, given, self._terms(), self.design.adders)
        unread(m, [x for x, row in zip(given, self.design.matrix.tolist(), strict=True) if not any(row)])
        for j, result in enumerate(results, len(given)):
            if j in sums.done:
                sums.store(j, sums.value(j), result)
        return m

    def _terms(self) -> list[Term]:
        """Column by column, in each what is added first: a sum that begins with a number needs not be negated."""
        matrix = self.design.matrix.T.tolist()
        return [
            Term(self.design.dim + j, d, sign)
            for j, column in enumerate(matrix)
            for sign in (1, -1)
            for d, entry in enumerate(column)
            if entry == sign
        ]


TWIN = TernaryProjection
