"""The twin of ``sim/units/sparse24_select.py``: two levels of two-way multiplexers for each value chosen.

The low bit of a place chooses within both pairs of a group, the high bit between the pairs. With two stages or more
a register stands between the levels; further ones only wait.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Value

from siloom.rtl.elastic import Values, elastic, stretched
from siloom.rtl.twin import Twin
from siloom.sim.contract import fixed
from siloom.sim.units import sparse24_select
from siloom.sim.units.sparse24_select import GROUP, KEPT


class Sparse24Select(Twin):
    """A selector of the size that ``design`` says."""

    def __init__(self, design: sparse24_select.Sparse24Select) -> None:
        """Take the promise for this size."""
        super().__init__(sparse24_select.contract(design))
        self.chosen = KEPT * design.groups

    def elaborate(self, platform: object) -> Module:
        """Groups of four become pairs, pairs become values."""
        m = Module()
        elastic(m, self, stretched([self._within_pairs, self._between_pairs], fixed(self.contract.latency)))
        return m

    def _within_pairs(self, m: Module, given: Values, moves: Value) -> Values:
        values: Values = {}
        for k in range(self.chosen):
            low = given["place"][k][0]
            first = GROUP * (k // KEPT)
            lower, upper = (
                Mux(low, given["value"][at + 1], given["value"][at]) for at in range(first, first + GROUP, 2)
            )
            values = {**values, f"lower{k}": lower, f"upper{k}": upper, f"high{k}": given["place"][k][1]}
        return values

    def _between_pairs(self, m: Module, given: Values, moves: Value) -> Values:
        pairs = ((given[f"high{k}"], given[f"upper{k}"], given[f"lower{k}"]) for k in range(self.chosen))
        return {"chosen": Cat(Mux(*pair) for pair in pairs)}


TWIN = Sparse24Select
