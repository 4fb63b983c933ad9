"""The twin of ``sim/units/multi_precision_mul.py``: multipliers of digits, then levels of adders that can be passed by.

All pairs of digits are multiplied first; a digit is signed where it is the highest of its number, which the mode
says. Each level of adders then makes one product of twice the digits from four neighbours, unless the numbers of the
mode are no wider than what it was given: then lanes go through as they are. Between two registers lie several of these
steps or none, shared out evenly.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed

from siloom.rtl.elastic import Values, elastic
from siloom.rtl.shifts import extended
from siloom.rtl.spread import ADD, MULTIPLY, Step, spread
from siloom.rtl.twin import Twin
from siloom.sim.contract import fixed
from siloom.sim.units import multi_precision_mul


class MultiPrecisionMul(Twin):
    """A multiplier of the size that ``design`` says."""

    def __init__(self, design: multi_precision_mul.MultiPrecisionMul) -> None:
        """Take the promise for this size."""
        super().__init__(multi_precision_mul.contract(design))
        self.design = design

    def elaborate(self, platform: object) -> Module:
        """Products of digits move up through the levels."""
        m = Module()
        # Three numbers are added to a fourth, or lanes are only extended, which is wires.
        levels = [Step(partial(self._join, level), 2 * ADD) for level in range(self.design.modes - 1)]
        steps = [Step(self._multiply, MULTIPLY), *levels, Step(self._extend, 0)]
        elastic(m, self, spread(steps, fixed(self.contract.latency)))
        return m

    def _multiply(self, m: Module, given: Values, moves: Value) -> Values:
        """Lane ``i digits + j``: digit i of ``a`` times digit j of ``b``."""
        a, b = (self._digits(given[name], given["mode"]) for name in "ab")
        return {"mode": given["mode"], **numbered([x * y for x in a for y in b])}

    def _digits(self, word: Value, mode: Value) -> list[Value]:
        """Digits as signed numbers; the highest digit of the word is one as it stands."""
        size, digits = self.design.base_bits, self.design.digits
        found: list[Value] = []
        for at in range(digits - 1):
            # In the last mode every digit is the highest of its number, in the one before it every second.
            highest = Cat(
                mode == Const(which, mode.shape())
                for which in range(self.design.modes)
                if (at + 1) % (digits >> which) == 0
            ).any()
            digit = word[at * size : (at + 1) * size]
            found.append(Cat(digit, digit[-1] & highest).as_signed())
        return [*found, word[-size:].as_signed()]

    def _join(self, level: int, m: Module, given: Values, moves: Value) -> Values:
        """Products of numbers of ``2^level`` digits become ones of twice as many, where the mode has such numbers."""
        side = self.design.digits >> level
        shift = self.design.base_bits << level
        lanes = [given[f"lane{k}"] for k in range(self.design.multipliers)]
        joins = Signal(name=f"joins{level}")
        m.d.comb += joins.eq(given["mode"] < self.design.modes - 1 - level)
        found = [Mux(joins, 0, lane) for lane in lanes]
        for k, (row, column) in enumerate(product(range(0, side, 2), repeat=2)):
            first = row * side + column
            ll, lh, hl, hh = (lanes[first + at] for at in (0, 1, side, side + 1))
            # A number of w bits times another, signed or not, takes 2 w bits and a sign.
            joined = Signal(signed(min(4 * shift + 1, 2 * self.design.wide_bits)), name=f"level{level}lane{k}")
            m.d.comb += joined.eq(hh.shift_left(2 * shift) + (hl + lh).shift_left(shift) + ll)
            found[k] = Mux(joins, joined, lanes[k])
        return {"mode": given["mode"], **numbered(found)}

    def _extend(self, m: Module, given: Values, moves: Value) -> Values:
        lanes = [given[f"lane{k}"] for k in range(self.design.multipliers)]
        return {"product": Cat(extended(lane, 2 * self.design.wide_bits) for lane in lanes)}


def numbered(lanes: Sequence[Value]) -> Values:
    """Lanes, which differ in width, by name."""
    return {f"lane{k}": lane for k, lane in enumerate(lanes)}


TWIN = MultiPrecisionMul
