"""The twin of ``sim/units/candidate_select.py``: a multiplier and a comparator of the exact product."""

from __future__ import annotations

from amaranth.hdl import Module, Value

from siloom.rtl.elastic import Values, elastic
from siloom.rtl.spread import COMPARE, MULTIPLY, Step, spread
from siloom.rtl.twin import Twin
from siloom.sim.contract import fixed
from siloom.sim.units import candidate_select


class CandidateSelect(Twin):
    """Comparison of a norm times a cosine with a bound, of the size that ``design`` says."""

    def __init__(self, design: candidate_select.CandidateSelect) -> None:
        """Take the promise for this size."""
        super().__init__(candidate_select.contract(design))

    def elaborate(self, platform: object) -> Module:
        """The product, then whether it is above the bound."""
        m = Module()
        steps = [Step(self._multiply, MULTIPLY), Step(self._compare, COMPARE)]
        elastic(m, self, spread(steps, fixed(self.contract.latency)))
        return m

    def _multiply(self, m: Module, given: Values, moves: Value) -> Values:
        return {"product": given["norm"] * given["cosine"], "bound": given["bound"]}

    def _compare(self, m: Module, given: Values, moves: Value) -> Values:
        return {"candidate": given["product"] > given["bound"], "estimate": given["product"]}


TWIN = CandidateSelect
