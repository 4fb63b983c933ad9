"""The twin of ``sim/units/norm.py``: squares and a tree of adders, then the root digit by digit.

The root is found as on paper: each step brings down two bits of the sum and subtracts what the next bit of the root
would take; the bit is 1 where nothing had to be borrowed. What is left at the end says which way to round. Only as many
bits of the root are worked out as the norm has; upper bits of the sum tell of a root beyond them.

A vector with no more elements than multipliers goes through all of this as one pipeline. A longer one waits in a
register that hands a share of it each cycle to the multipliers, and only the root is a pipeline. A count of the vectors
inside then keeps to the promised capacity, of which the root's registers hold more than they are given: it never stops
a sum.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data

from siloom.rtl.elastic import Stage, Values, elastic
from siloom.rtl.lanes import lanes, side_by_side, tree
from siloom.rtl.spread import ADD, COMPARE, MULTIPLY, Step, spread
from siloom.rtl.twin import Twin
from siloom.sim.contract import fixed
from siloom.sim.units import norm


class Norm(Twin):
    """Length of a vector, of the size that ``design`` says."""

    def __init__(self, design: norm.Norm) -> None:
        """Take the promise for this size."""
        super().__init__(norm.contract(design))
        self.design = design
        most = design.dim << (2 * design.x_bits - 2)
        self.total = unsigned(most.bit_length())
        self.digits = min(design.norm_bits, (self.total.width + 1) // 2)

    def elaborate(self, platform: object) -> Module:
        """Sums of squares go through the root."""
        m = Module()
        interval, latency = fixed(self.contract.interval), fixed(self.contract.latency)
        width = min(self.design.dim, self.design.multipliers)
        squares = [Step(self._square, MULTIPLY), *tree("total", width, self.total)]
        root = [Step(partial(self._digit, done)) for done in range(self.digits)] + [Step(self._round, COMPARE + ADD)]
        if interval == 1:
            elastic(m, self, spread([*squares, *root], latency))
        else:
            offer, total = self._in_shares(m, spread(squares, 1)[0], interval)
            stages: list[Stage] = [lambda m, given, moves: {"total": total}, *spread(root, latency - interval)]
            elastic(m, self, stages, offer=offer, room=Signal())
        return m

    def _square(self, m: Module, given: Values, moves: Value) -> Values:
        bits = 2 * self.design.x_bits - 1
        return {"total": side_by_side(m, "squares", unsigned(bits), [(x * x)[:bits] for x in lanes(given["x"])])}

    def _in_shares(self, m: Module, squares: Stage, interval: int) -> tuple[Value, Value]:
        """Drive ``i.ready``; high in the cycle in which a vector's last share is added, and the sum."""
        many, bits = self.design.multipliers, self.design.x_bits
        given = Value.cast(self.i.p.x)
        step, inside = Signal(range(interval)), Signal(range(self.contract.capacity + 1))
        first, takes, leaves, works = (Signal(name=name) for name in ("first", "takes", "leaves", "works"))
        m.d.comb += [
            first.eq(~step.any()),
            leaves.eq(self.o.valid & self.o.ready),
            self.i.ready.eq(first & ((inside != self.contract.capacity) | leaves)),
            takes.eq(self.i.valid & self.i.ready),
            works.eq(takes | ~first),
        ]
        m.d.sync += inside.eq(inside + takes - leaves)

        rest = Signal(len(given) - many * bits, reset_less=True)
        share = Signal(data.ArrayLayout(signed(bits), many))
        m.d.comb += share.as_value().eq(Mux(first, given[: many * bits], rest[: many * bits]))
        found = squares(m, {"x": share if many > 1 else share[0]}, works)["total"]
        so_far, total = Signal(self.total, reset_less=True), Signal(self.total)
        m.d.comb += total.eq(Mux(first, 0, so_far) + found)
        with m.If(works):
            last = step == interval - 1
            m.d.sync += [
                step.eq(Mux(last, 0, step + 1)),
                rest.eq(Mux(first, given[many * bits :], rest[many * bits :])),
                so_far.eq(total),
            ]
        return step == interval - 1, total

    def _digit(self, done: int, m: Module, given: Values, moves: Value) -> Values:
        """The next bit of the root, behind ``done`` that are known, each of them a value of its own."""
        if done == 0:
            total: Any = given["total"]
            beyond = total[2 * self.digits :]
            given = {"todo": total[: 2 * self.digits], "left": Const(0, 0)}
            given |= {"over": beyond.any()} if len(beyond) else {}
        todo, rest = given["todo"], 2 * (self.digits - done - 1)
        left, less = Cat(todo[rest:], given["left"]), Cat(Const(1, 2), known(given, done))
        without = Signal(min(done + 3, len(left) + 1), name=f"without{done}")  # the highest bit was borrowed
        m.d.comb += without.eq(left - less)
        found = {**given, f"bit{done}": ~without[-1], "left": Mux(without[-1], left[: done + 2], without[:-1])}
        return {**found, "todo": todo[:rest]} if rest else {k: v for k, v in found.items() if k != "todo"}

    def _round(self, m: Module, given: Values, moves: Value) -> Values:
        # The root lies beyond the half where more is left than the root itself: the next digit would be 1.
        root = known(given, self.digits)
        rounded = Signal(self.digits + 1)
        m.d.comb += rounded.eq(root + (given["left"] > root))
        if self.digits < self.design.norm_bits:
            return {"norm": rounded}
        over = Signal()
        m.d.comb += over.eq(rounded[-1] | given.get("over", 0))
        return {"norm": rounded[:-1] | over.replicate(self.digits)}


def known(given: Values, done: int) -> Value:
    """The bits of the root that are known, the first the highest."""
    return Cat(given[f"bit{k}"] for k in reversed(range(done)))


TWIN = Norm
