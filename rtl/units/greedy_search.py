"""The twin of ``sim/units/greedy_search.py``: memories of columns, two tournaments of their products, greedy scores.

Every column has a memory for its low and one for its high end (``rtl/sorted_column.py``), each of which serves one of
two tournaments.

From a column's place to the greedy scores it is a chain of steps, cut where ``fill_cycles`` allows: the multiplication,
the levels of the tournaments, the decision what counts, the score. What was decided calls the next winners in the same
cycle, through all levels; so the chain works on one iteration a cycle, wherever it is cut.

Each row has the sum of what was added and the sum of what was taken away, in memories of their own, so that two rows
can change in a cycle. They are not cleared for a query: bits say which rows have been written since. Candidates are
bits, brought up to date with every change.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed
from amaranth.lib.memory import Memory

from siloom.rtl.barrel import named
from siloom.rtl.contest import Entrant, entrant, waiting, winners
from siloom.rtl.elastic import Values
from siloom.rtl.lanes import lanes
from siloom.rtl.shared import place
from siloom.rtl.sorted_column import SortedColumn
from siloom.rtl.spread import ADD, COMPARE, LOOK_UP, MULTIPLY, Step, spread
from siloom.rtl.twin import Twin
from siloom.sim.units import greedy_search
from siloom.sim.units.greedy_search import HIGH, LOW

LARGE, SMALL = "large", "small"


class GreedySearch(Twin):
    """A search unit of the size that ``design`` says.

    ``iterations`` and ``depth`` are the design's. A machine may put signals in their place that stay at or below it
    while a query is searched: then they are what its heads want.
    """

    def __init__(self, design: greedy_search.GreedySearch) -> None:
        """Take the promise for this size."""
        super().__init__(greedy_search.contract(design))
        self.design = design
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
        # A module for each tournament: what is text of one module alone grows beyond what a compiler likes.
        trees = {name: Module() for name in (LARGE, SMALL)}
        m.submodules.largest, m.submodules.smallest = trees[LARGE], trees[SMALL]
        steps = [
            Step(partial(self._columns, platform, takes, starts), MULTIPLY),
            *[Step(partial(self._level, trees), COMPARE)] * (self.design.columns - 1).bit_length(),
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
                values = {
                    name: waiting(trees[tournament(name)], f"{name}_{number}", value, fills)
                    if isinstance(value, Entrant)
                    else handed_on(m, f"{name}_{number}", value)
                    for name, value in values.items()
                }
        with m.If(leaves):
            m.d.sync += [busy.eq(0), self.o.valid.eq(0)]
        with m.If(starts):
            m.d.sync += busy.eq(1)
        with m.If(values["ends"]):
            m.d.sync += self.o.valid.eq(1)
        return m

    def _columns(self, platform: object, takes: Value, starts: Value, m: Module, given: Values, moves: Value) -> Values:
        """The two entrants of every column."""
        found: dict[str, Any] = {}
        writes = [named(m, takes & (self.i.p.kind == kind), f"writes{kind}") for kind in (LOW, HIGH)]
        for number, (value, row) in enumerate(zip(lanes(self.i.p.value), lanes(self.i.p.row), strict=True)):
            column = SortedColumn(self.design)
            place(m, platform, column, f"column{number}", SortedColumn.module(self.design))
            m.d.comb += [
                column.starts.eq(starts),
                column.writes_low.eq(writes[LOW]),
                column.writes_high.eq(writes[HIGH]),
                column.at.eq(self.i.p.place),
                column.value.eq(value),
                column.row.eq(row),
                column.depth.eq(self.depth),
            ]
            for name, product, called in (
                (LARGE, column.large, column.large_called),
                (SMALL, column.small, column.small_called),
            ):
                one = entrant(m, f"{name}{number}", product.number, product.left, product.row)
                m.d.comb += called.eq(one.called)
                found[f"{name}{number}"] = one
        return found

    def _level(self, trees: dict[str, Module], m: Module, given: Values, moves: Value) -> Values:
        found: dict[str, Any] = {}
        for name, tree in trees.items():
            those = [value for key, value in given.items() if tournament(key) == name]
            best = winners(tree, f"{name}_of{len(those)}_", those, largest=name == LARGE)
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
        marked: Any = candidates
        for name, row in rows.items():
            score = named(m, gained[name] + lost[name], f"score_of_{name}")
            bit = one_hot(m, f"bit_of_{name}", row, changes[name], self.design.rows)
            marked = named(m, (marked & ~bit) | Mux(score > 0, bit, 0), f"marked_with_{name}")
        m.d.sync += candidates.eq(Mux(starts, 0, marked))
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
            before[at] = Mux(written.bit_select(row, 1), port.data, 0)
        write = memory.write_port()
        now = named(m, (before[name] + number)[: self.score.width].as_signed(), f"{name}_now")
        m.d.comb += [write.en.eq(adds), write.addr.eq(rows[name]), write.data.eq(now)]
        bit = one_hot(m, f"{name}_row_bit", rows[name], adds, self.design.rows)
        m.d.sync += written.eq(Mux(starts, 0, written | bit))
        return {at: Mux(adds if at == name else adds & same, now, old) for at, old in before.items()}


def one_hot(m: Module, name: str, number: Value, when: Value, count: int) -> Any:
    """The bit of a number among ``count``, where ``when``; a word of all bits is shorter to write than each of them."""
    return named(m, (Value.cast(when) << number)[:count], name)


def after(m: Module, name: str, value: Value) -> Signal:
    """A bit as it was in the last cycle."""
    register = Signal(name=name)
    m.d.sync += register.eq(value)
    return register


def tournament(name: str) -> str:
    """Whose entrant a value of this name is."""
    return LARGE if name.startswith(LARGE) else SMALL


def handed_on(m: Module, name: str, value: Any) -> Any:
    """What was decided, behind a stage: it goes on every cycle, while entrants wait to be called."""
    register = Signal(Value.cast(value).shape(), name=name)
    m.d.sync += register.eq(value)
    return register


TWIN = GreedySearch
