"""The twin of ``sim/units/post_score.py``: a subtractor and a comparator."""

from __future__ import annotations

from amaranth.hdl import Module, Value

from siloom.rtl.elastic import Values, elastic
from siloom.rtl.spread import ADD, COMPARE, Step, spread
from siloom.rtl.twin import Twin
from siloom.sim.contract import fixed
from siloom.sim.units import post_score


class PostScore(Twin):
    """Comparison of a score's distance to the largest with a bound, of the size that ``design`` says."""

    def __init__(self, design: post_score.PostScore) -> None:
        """Take the promise for this size."""
        super().__init__(post_score.contract(design))

    def elaborate(self, platform: object) -> Module:
        """The distance, one bit wider than a score, then whether it is below the bound."""
        m = Module()
        elastic(
            m, self, spread([Step(self._subtract, ADD), Step(self._compare, COMPARE)], fixed(self.contract.latency))
        )
        return m

    def _subtract(self, m: Module, given: Values, moves: Value) -> Values:
        return {"distance": given["largest"] - given["score"], "bound": given["bound"]}

    def _compare(self, m: Module, given: Values, moves: Value) -> Values:
        return {"kept": given["distance"] < given["bound"]}


TWIN = PostScore
