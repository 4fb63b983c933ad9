"""The twin of ``sim/units/online_softmax.py``: a block goes once through maxima, exponentials and sums; then dividers.

The largest score so far is kept with a bit above it that says whether there is one, and so are scores on their way to
it, with whether they count: comparing them as they stand lets what does not count lose. Where the maximum stays, its
distance to itself is nothing, the factor is exactly one, and sums are multiplied with it like any other; where the row
starts, the factor is zero.

One block is inside at a time, so a register per stage is enough, and a stage may read what a later one writes. Sums
stay where they are while they are divided, because the next block may go on with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value, signed, unsigned

from siloom.rtl.divider import Dividers
from siloom.rtl.elastic import Values
from siloom.rtl.flow import flow
from siloom.rtl.lanes import lanes, side_by_side, tree
from siloom.rtl.rounding import clamp, half_even
from siloom.rtl.split_power import split_entries, split_power
from siloom.rtl.spread import ADD, COMPARE, LOOK_UP, MULTIPLY, Step, abreast, spread
from siloom.rtl.twin import Twin
from siloom.sim.contract import Whole
from siloom.sim.units import online_softmax


class OnlineSoftmax(Twin):
    """Softmax's mean of the size that ``design`` says."""

    def __init__(self, design: online_softmax.OnlineSoftmax) -> None:
        """Take the promise for this size."""
        super().__init__(online_softmax.contract(design))
        self.design = design
        power = design.exponential.power
        self.key = unsigned(design.score_bits + 1)
        self.power = unsigned(power.bits)
        # Sums of weighted elements, and last the sum of weights, itself never negative.
        keys = max(design.most_keys, design.block)
        self.weight_bits = power.bits + design.guard_bits + (keys - 1).bit_length()
        self.sums = [signed(self.weight_bits + design.value_bits)] * design.dim + [signed(self.weight_bits + 1)]
        added = power.bits + (design.block - 1).bit_length()
        self.added = [signed(added + design.value_bits)] * design.dim + [unsigned(added)]

    def elaborate(self, platform: object) -> Module:
        """The steps of a block; a row's last one starts the dividers."""
        m = Module()
        design = self.design
        sums = [Signal(shape, name=f"sum{lane}") for lane, shape in enumerate(self.sums)]
        found, moves = self._block(m, sums)
        # Rounding of sums can bring a mean beyond its format, though not to twice that.
        dividers = Dividers(self.weight_bits, design.value_bits, design.divide_cycles)
        following = [found[f"sum{lane}"] for lane in range(design.dim + 1)]
        done, means = dividers.divide(m, moves & found["last"], following[:-1], following[-1][:-1])
        value = Whole(design.value_bits)
        held = [clamp(mean, value.low, value.high) for mean in means]
        m.d.comb += Value.cast(self.o.p.mean).eq(Cat(held))
        with m.If(moves):
            m.d.sync += [before.eq(now) for before, now in zip(sums, following, strict=True)]
        with m.If(done):
            m.d.sync += self.o.valid.eq(1)
        return m

    def _block(self, m: Module, sums: Sequence[Any]) -> tuple[Values, Value]:
        """What a block's steps give in their last stage, and whether a block is there; streams are driven."""
        design = self.design
        trees = [tree(f"added{lane}", design.block, shape) for lane, shape in enumerate(self.added)]
        steps = [
            Step(self._keys, 0),
            *[Step(self._larger, COMPARE)] * (design.block - 1).bit_length(),
            Step(self._raise, COMPARE),
            Step(self._distances, ADD),
            Step(self._look_up, LOOK_UP),
            Step(self._powers, MULTIPLY),
            Step(partial(self._weigh, sums), MULTIPLY),
            *abreast([Step(self._round, ADD)], *trees),
            Step(self._add, ADD),
        ]
        takes, leaves, busy = Signal(), Signal(), Signal()
        given = {name: getattr(self.i.p, name) for name in self.i.p.shape().members}
        found, moves = flow(m, given, takes, spread(steps, design.loop_cycles))
        ends = Signal()
        m.d.comb += [
            self.i.ready.eq(~busy | leaves),
            takes.eq(self.i.valid & self.i.ready),
            ends.eq(moves & ~found["last"]),
            leaves.eq(self.o.valid & self.o.ready),
        ]
        with m.If(ends | leaves):
            m.d.sync += busy.eq(0)
        with m.If(takes & ~ends):
            m.d.sync += busy.eq(1)
        with m.If(leaves):
            m.d.sync += self.o.valid.eq(0)
        return found, moves

    def _keys(self, m: Module, given: Values, moves: Value) -> Values:
        """Scores that compare as unsigned numbers; those that do not count as zeros, below all others."""
        scores, kept = lanes(given["score"]), lanes(given["kept"])
        keys = [Mux(counts, Cat(s[:-1], ~s[-1], counts), 0) for s, counts in zip(scores, kept, strict=True)]
        found = side_by_side(m, "keys", self.key, keys)
        return {**{name: given[name] for name in ("value", "clear", "last")}, "key": found, "top": found}

    def _larger(self, m: Module, given: Values, moves: Value) -> Values:
        """The larger of each pair, until there is one."""
        tops = lanes(given["top"])
        pairs = [(tops[j], tops[j + 1]) for j in range(0, len(tops) - 1, 2)]
        larger = [*(Mux(one > other, one, other) for one, other in pairs), *tops[len(pairs) * 2 :]]
        return {**given, "top": side_by_side(m, f"larger_of_{len(larger)}", self.key, larger)}

    def _raise(self, m: Module, given: Values, moves: Value) -> Values:
        most = Signal(self.key, name="most")
        before, now = Signal(self.key, name="most_before"), Signal(self.key, name="most_now")
        m.d.comb += [
            before.eq(Mux(given["clear"], 0, most)),
            now.eq(Mux(given["top"] > before, given["top"], before)),
        ]
        with m.If(moves):
            m.d.sync += most.eq(now)
        kept = {name: value for name, value in given.items() if name not in ("top", "clear")}
        return {**kept, "before": before, "most": now}

    def _distances(self, m: Module, given: Values, moves: Value) -> Values:
        """From the largest score to each of the block and to the one before; at most what the tables know."""
        keys = [*lanes(given["key"]), given["before"]]
        bits = self.design.exponential.x_bits
        distances = []
        for number, key in enumerate(keys):
            exact = Signal(self.design.score_bits, name=f"distance{number}")
            m.d.comb += exact.eq(given["most"][:-1] - key[:-1])
            beyond = exact[bits:].any().replicate(bits) if bits < len(exact) else 0
            distances.append(exact[:bits] | beyond)
        counts = Cat(key[-1] for key in keys)
        kept = {name: given[name] for name in ("value", "last")}
        return {**kept, "x": side_by_side(m, "x", unsigned(bits), distances), "counts": counts}

    def _look_up(self, m: Module, given: Values, moves: Value) -> Values:
        unit = self.design.exponential
        entries = [split_entries(m, unit, x, str(number)) for number, x in enumerate(lanes(given["x"]))]
        kept = {name: given[name] for name in ("value", "last", "counts")}
        tables = {"high": [high for high, _ in entries], "low": [low for _, low in entries]}
        return {**kept, **{name: side_by_side(m, name, self.power, found) for name, found in tables.items()}}

    def _powers(self, m: Module, given: Values, moves: Value) -> Values:
        """Of what does not count, nothing."""
        found = []
        for number, (high, low) in enumerate(zip(lanes(given["high"]), lanes(given["low"]), strict=True)):
            power = split_power(m, self.design.exponential, high, low, str(number))
            found.append(Mux(given["counts"][number], power, 0))
        kept = {name: given[name] for name in ("value", "last")}
        return {**kept, "power": side_by_side(m, "powers", self.power, found)}

    def _weigh(self, sums: Sequence[Any], m: Module, given: Values, moves: Value) -> Values:
        """Every element times its power, the powers themselves, and the sums so far times their factor."""
        dim = self.design.dim
        values, (*powers, factor) = lanes(given["value"]), lanes(given["power"])
        found: dict[str, Any] = {"last": given["last"]}
        for lane in range(dim + 1):
            parts = [power * values[j * dim + lane] if lane < dim else power for j, power in enumerate(powers)]
            bits = self.power.width + (self.design.value_bits if lane < dim else 0)
            shape = Shape(bits, self.added[lane].signed)
            found[f"added{lane}"] = side_by_side(m, f"weighed{lane}", shape, parts)
            found[f"sum{lane}"] = sums[lane] * factor
        return found

    def _round(self, m: Module, given: Values, moves: Value) -> Values:
        found = dict(given)
        for lane, shape in enumerate(self.sums):
            rounded = Signal(shape, name=f"rounded{lane}")
            m.d.comb += rounded.eq(half_even(given[f"sum{lane}"], self.design.power_fraction))
            found[f"sum{lane}"] = rounded
        return found

    def _add(self, m: Module, given: Values, moves: Value) -> Values:
        found: dict[str, Any] = {"last": given["last"]}
        for lane, shape in enumerate(self.sums):
            total = Signal(shape, name=f"total{lane}")
            m.d.comb += total.eq(given[f"sum{lane}"] + given[f"added{lane}"].shift_left(self.design.guard_bits))
            found[f"sum{lane}"] = total
        return found


TWIN = OnlineSoftmax
