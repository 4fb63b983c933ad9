"""The twin of ``sim/units/greedy_search.py``: memories of columns, two tournaments of their products, greedy scores.

Every column has a memory for its low and one for its high end. A memory's own output register is the place that is
next; calling it reads the one behind. Which end has a column's largest products and which its smallest follows from the
sign of the query's element, so each memory serves one of two tournaments.

From a column's place to the greedy scores it is a chain of steps, cut where ``fill_cycles`` allows: the multiplication,
the levels of the tournaments, the decision what counts, the score. What was decided calls the next winners in the same
cycle, through all levels; so the chain works on one iteration a cycle, wherever it is cut.

Each row has the sum of what was added and the sum of what was taken away, in memories of their own, so that two rows
can change in a cycle. They are not cleared for a query: bits say which rows have been written since. Candidates are
bits, brought up to date with every change.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.memory import Memory

from siloom.rtl.barrel import named
from siloom.rtl.contest import Entrant, entrant, waiting, winners
from siloom.rtl.elastic import Values
from siloom.rtl.lanes import lanes
from siloom.rtl.pick import pick
from siloom.rtl.spread import ADD, COMPARE, LOOK_UP, MULTIPLY, Step, spread
from siloom.rtl.twin import Twin
from siloom.sim.units import greedy_search
from siloom.sim.units.greedy_search import HIGH

LARGE, SMALL = "large", "small"


@dataclass(frozen=True)
class End:
    """One end of a column: its next place, with a bit on top while there is one, and a wire that calls it."""

    shows: Value
    called: Signal


class GreedySearch(Twin):
    """A search unit of the size that ``design`` says.

    ``iterations`` and ``depth`` are the design's. A machine may put signals in their place that stay at or below it
    while a query is searched: then they are what its heads want.
    """

    def __init__(self, design: greedy_search.GreedySearch) -> None:
        """Take the promise for this size."""
        super().__init__(greedy_search.contract(design))
        self.design = design
        self.end = data.StructLayout({"value": signed(design.value_bits), "row": design.row.bits, "left": 1})
        # As many of the largest products as there are iterations.
        self.score = signed(2 * design.value_bits + design.iterations.bit_length())
        self.iterations: Value = Const(design.iterations)
        self.depth: Value = Const(design.depth)

    def elaborate(self, platform: object) -> Module:
        """A query starts all columns at their first places; what they show fills the chain, stage by stage."""
        m = Module()
        takes, starts, leaves, busy = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(~busy | leaves),
            takes.eq(self.i.valid & self.i.ready),
            starts.eq(takes & (self.i.p.kind > HIGH)),
            leaves.eq(self.o.valid & self.o.ready),
        ]
        steps = [
            Step(partial(self._columns, takes, starts), MULTIPLY),
            *[Step(self._level, COMPARE)] * (self.design.columns - 1).bit_length(),
            Step(partial(self._decide, starts), 2 * ADD),
            Step(partial(self._score, starts), LOOK_UP + 2 * ADD),
        ]
        stages = spread(steps, min(self.design.fill_cycles + 1, len(steps)))
        fills: Value = starts
        for cycle in range(self.design.fill_cycles + 1 - len(stages)):
            fills = after(m, f"waited{cycle}", fills)
        values: Values = {}
        for number, stage in enumerate(stages):
            fills = after(m, f"fills{number}", fills)  # high in the cycle in which the stage gets its first values
            values = stage(m, values, fills)
            if number + 1 < len(stages):
                values = {name: handed_on(m, f"{name}_{number}", value, fills) for name, value in values.items()}
        with m.If(leaves):
            m.d.sync += [busy.eq(0), self.o.valid.eq(0)]
        with m.If(starts):
            m.d.sync += busy.eq(1)
        with m.If(values["ends"]):
            m.d.sync += self.o.valid.eq(1)
        return m

    def _columns(self, takes: Value, starts: Value, m: Module, given: Values, moves: Value) -> Values:
        """The two entrants of every column."""
        found: dict[str, Any] = {}
        for column, (value, row) in enumerate(zip(lanes(self.i.p.value), lanes(self.i.p.row), strict=True)):
            query = Signal(value.shape(), name=f"query{column}", reset_less=True)
            with m.If(starts):
                m.d.sync += query.eq(value)
            positive = named(m, ~query[-1] & query.any(), f"positive{column}")
            written = Cat(value, row)
            low, high = (
                self._end(m, f"{name}{column}", takes & writes, starts, written)
                for name, writes in (("low", ~self.i.p.kind.any()), ("high", self.i.p.kind == HIGH))
            )
            for name, one, other in ((LARGE, high, low), (SMALL, low, high)):
                end = Signal(self.end, name=f"{name}{column}_end")
                m.d.comb += end.eq(Mux(positive, one.shows, other.shows))
                found[f"{name}{column}"] = entrant(m, f"{name}{column}", query * end.value, end.left, end.row)
            large, small = found[f"{LARGE}{column}"].called, found[f"{SMALL}{column}"].called
            m.d.comb += [low.called.eq(Mux(positive, small, large)), high.called.eq(Mux(positive, large, small))]
        return found

    def _end(self, m: Module, name: str, writes: Value, starts: Value, written: Value) -> End:
        """One end of a column in a memory; ``starts`` goes to its first place."""
        # All addresses exist, so that a simulator need not care about that behind the last place.
        memory = Memory(shape=len(written), depth=1 << self.design.place.bits, init=[])
        m.submodules[name] = memory
        write, read = memory.write_port(), memory.read_port()
        behind, left = Signal(range(self.design.depth + 1), name=f"{name}_behind"), Signal(name=f"{name}_left")
        called = Signal(name=f"{name}_called")
        m.d.comb += [
            write.en.eq(writes),
            write.addr.eq(self.i.p.place),
            write.data.eq(written),
            read.en.eq(starts | called),
            read.addr.eq(Mux(starts, 0, behind)[: len(read.addr)]),
        ]
        with m.If(starts):
            m.d.sync += [behind.eq(1), left.eq(1)]
        with m.Elif(called):
            with m.If(behind == self.depth):
                m.d.sync += left.eq(0)
            with m.Else():
                m.d.sync += behind.eq(behind + 1)
        return End(Cat(read.data, left), called)

    def _level(self, m: Module, given: Values, moves: Value) -> Values:
        found: dict[str, Any] = {}
        for name in (LARGE, SMALL):
            those = [value for key, value in given.items() if key.startswith(name)]
            best = winners(m, f"{name}_of{len(those)}_", those, largest=name == LARGE)
            found |= {f"{name}{number}": one for number, one in enumerate(best)}
        return found

    def _decide(self, starts: Value, m: Module, given: Values, moves: Value) -> Values:
        """What is added to the row of the largest product, and what to that of the smallest; the next are called."""
        large, small = given[f"{LARGE}0"], given[f"{SMALL}0"]
        left = Signal(range(self.design.iterations + 1), name="iterations_left")
        works, ends, total = Signal(), Signal(), Signal(self.score, name="total")
        m.d.comb += works.eq(moves | left.any())
        m.d.comb += ends.eq((moves & (self.iterations == 1)) | (left == 1))
        with m.If(moves):
            m.d.sync += left.eq(self.iterations - 1)
        with m.Elif(left.any()):
            m.d.sync += left.eq(left - 1)

        gain, loss = large.number, small.number
        gains = named(m, works & large.left & (gain > 0), "gains")
        between = Signal(self.score, name="total_between")
        m.d.comb += between.eq(total + Mux(gains, gain, 0))
        held_back = named(m, between[-1] if self.design.refinement != "off" else Const(0, 1), "held_back")
        losses = named(m, works & small.left & loss[-1] & ~held_back, "losses")
        m.d.comb += large.called.eq(works)
        m.d.comb += small.called.eq(works & ~held_back if self.design.refinement == "skip" else works)
        with m.If(starts):
            m.d.sync += total.eq(0)
        with m.Elif(works):
            m.d.sync += total.eq(between + Mux(losses, loss, 0))
        found = {"gain": gain, "gains": gains, "gain_row": large.note, "loss": loss, "losses": losses}
        return {**found, "loss_row": small.note, "ends": ends}

    def _score(self, starts: Value, m: Module, given: Values, moves: Value) -> Values:
        """Both rows' sums, and whether the rows are candidates now."""
        rows = {"gain": given["gain_row"], "loss": given["loss_row"]}
        changes = {"gain": given["gains"], "loss": given["losses"]}
        same = named(m, rows["gain"] == rows["loss"], "same_row")
        gained, lost = (self._sums(m, name, starts, given[name], changes[name], rows, same) for name in rows)
        candidates = Value.cast(self.o.p.candidate)
        with m.If(starts):
            m.d.sync += candidates.eq(0)
        for name, row in rows.items():
            score = named(m, gained[name] + lost[name], f"score_of_{name}")
            with m.If(changes[name]):
                m.d.sync += candidates.bit_select(row, 1).eq(score > 0)
        return {"ends": given["ends"]}

    def _sums(
        self, m: Module, name: str, starts: Value, number: Value, adds: Value, rows: dict[str, Value], same: Value
    ) -> dict[str, Value]:
        """What has been added up under ``name`` for each of two rows, with this cycle's number in its row."""
        memory = Memory(shape=self.score, depth=1 << self.design.row.bits, init=[])
        m.submodules[f"{name}s_of_rows"] = memory
        written = Signal(self.design.rows, name=f"{name}_written")
        before: dict[str, Any] = {}
        for at, row in rows.items():
            port = memory.read_port(domain="comb")
            m.d.comb += port.addr.eq(row)
            before[at] = Mux(pick(list(written), row), port.data, 0)
        write = memory.write_port()
        now = named(m, (before[name] + number)[: self.score.width].as_signed(), f"{name}_now")
        m.d.comb += [write.en.eq(adds), write.addr.eq(rows[name]), write.data.eq(now)]
        with m.If(starts):
            m.d.sync += written.eq(0)
        with m.Elif(adds):
            m.d.sync += written.bit_select(rows[name], 1).eq(1)
        return {at: Mux(adds if at == name else adds & same, now, old) for at, old in before.items()}


def after(m: Module, name: str, value: Value) -> Signal:
    """A bit as it was in the last cycle."""
    register = Signal(name=name)
    m.d.sync += register.eq(value)
    return register


def handed_on(m: Module, name: str, value: Any, fills: Value) -> Any:
    """A value behind a stage: entrants wait there to be called, what was decided goes on every cycle."""
    if isinstance(value, Entrant):
        return waiting(m, name, value, fills)
    register = Signal(Value.cast(value).shape(), name=name)
    m.d.sync += register.eq(value)
    return register


TWIN = GreedySearch
