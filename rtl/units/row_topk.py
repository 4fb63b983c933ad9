"""The twin of ``sim/units/row_topk.py``: a sorted list of registers that takes in a beat, or gives one, each cycle.

Scores are kept with a bit above them that is set: what is empty, a place of the list or a lane beyond ``count``, is
zero and compares as less than any score. The newcomers are sorted among themselves by comparing all pairs; then each is
compared with every place. These comparisons alone say for each place what comes there: its own score or one of a few
places further up, or a newcomer. Nothing waits for a neighbour, so the list may be long.

After a row the list moves up by as many places as it gave, until it is empty; with the last of them the next row may
come in already, to which the list looks empty. There is no second list: a row is not sorted while another is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data

from siloom.rtl.lanes import lanes
from siloom.rtl.twin import Twin
from siloom.sim.units import row_topk


class RowTopk(Twin):
    """A sorter of the size that ``design`` says."""

    def __init__(self, design: row_topk.RowTopk) -> None:
        """Take the promise for this size."""
        super().__init__(row_topk.contract(design))
        self.design = design
        self.entry = data.StructLayout({"index": design.index.bits, "score": design.score_bits, "full": 1})

    def elaborate(self, platform: object) -> Module:
        """The list, what comes in and what goes out."""
        m = Module()
        keep, count = self.design.keep, self.design.lanes
        places = [Signal(self.entry, name=f"place{p}") for p in range(keep)]
        giving, takes, moves_up = Signal(), Signal(), Signal()
        more = places[count].full if count < keep else Const(0, 1)
        m.d.comb += [
            self.o.valid.eq(giving & places[0].full),
            moves_up.eq(giving & (self.o.ready | ~places[0].full)),
            self.i.ready.eq(~giving | (moves_up & ~more)),
            takes.eq(self.i.valid & self.i.ready),
        ]
        self._give(m, places)
        coming = self._merged(m, places, self._sorted(m, self._newcomers(m, takes)), giving)
        for p, place in enumerate(places):
            with m.If(takes):
                m.d.sync += place.eq(coming[p])
            with m.Elif(moves_up):
                m.d.sync += place.eq(places[p + count] if p + count < keep else 0)
        with m.If(takes):
            m.d.sync += giving.eq(self.i.p.last)
        with m.Elif(moves_up & ~more):
            m.d.sync += giving.eq(0)
        return m

    def _give(self, m: Module, places: Sequence[Any]) -> None:
        """The first places; those of them that are empty repeat the last index."""
        index: Any = places[0].index
        given = [index]
        for lane in range(1, self.design.lanes):
            if lane < len(places):
                index = Signal.like(places[lane].index, name=f"given{lane}")
                m.d.comb += index.eq(Mux(places[lane].full, places[lane].index, given[-1]))
            given.append(index)
        full = [place.full for place in places[: self.design.lanes]]
        m.d.comb += [Value.cast(self.o.p.index).eq(Cat(given)), self.o.p.count.eq(sum(full[1:], full[0]))]

    def _newcomers(self, m: Module, takes: Value) -> list[Any]:
        """The lanes as entries, with the index that each has in its row."""
        seen = Signal(self.design.index.bits)
        with m.If(takes):
            m.d.sync += seen.eq(Mux(self.i.p.last, 0, seen + self.i.p.count))
        found = []
        for lane, score in enumerate(lanes(self.i.p.score)):
            entry: Any = Signal(self.entry, name=f"newcomer{lane}")
            with m.If(self.i.p.count > lane):
                m.d.comb += [entry.full.eq(1), entry.score.eq(Cat(score[:-1], ~score[-1])), entry.index.eq(seen + lane)]
            found.append(entry)
        return found

    def _sorted(self, m: Module, entries: Sequence[Any]) -> list[Any]:
        """The largest first; of equal ones the lower lane."""
        if len(entries) == 1:
            return list(entries)
        count = len(entries)
        later_wins = {
            (j, k): above(m, entries[k], entries[j], f"lane{k}_above{j}") for k in range(count) for j in range(k)
        }
        ranks = []
        for k in range(count):
            beaten_by = [~later_wins[j, k] for j in range(k)] + [later_wins[k, j] for j in range(k + 1, count)]
            rank = Signal(range(count), name=f"rank{k}")
            m.d.comb += rank.eq(sum(beaten_by[1:], beaten_by[0]))
            ranks.append(rank)
        return [
            one_of(m, f"sorted{place}", [(has(ranks[k], place), entries[k]) for k in range(count)])
            for place in range(count)
        ]

    def _merged(self, m: Module, places: Sequence[Any], newcomers: Sequence[Any], empty: Value) -> list[Any]:
        """What comes to each place; the list counts as ``empty`` where that is high."""
        many = len(newcomers)
        held = []
        for p, place in enumerate(places):
            entry = Signal(self.entry, name=f"held{p}")
            m.d.comb += entry.eq(Mux(empty, 0, Value.cast(place)))
            held.append(entry)
        # A newcomer goes before a place only if it is larger: of equal scores the earlier one stays ahead.
        before = [
            [above(m, newcomer, entry, f"new{k}_before{p}") for k, newcomer in enumerate(newcomers)]
            for p, entry in enumerate(held)
        ]
        found = []
        for p in range(len(held)):
            choices = []
            for k in range(min(many, p) + 1):  # so many newcomers before this one of the list
                here = before[p - k]
                fits = [*here[max(k - 1, 0) : k], *(~later for later in here[k : k + 1])]
                choices.append((Cat(fits).all(), held[p - k]))
            for k in range(min(many, p + 1)):  # this newcomer behind so many of the list
                fits = [before[p - k][k], *(~earlier[k] for earlier in before[max(p - k - 1, 0) : p - k])]
                choices.append((Cat(fits).all(), newcomers[k]))
            found.append(one_of(m, f"coming{p}", choices))
        return found


def above(m: Module, one: Any, other: Any, name: str) -> Signal:
    """Whether an entry goes before another that would come first if they were equal."""
    wire = Signal(name=name)
    m.d.comb += wire.eq(Cat(one.score, one.full) > Cat(other.score, other.full))
    return wire


def has(wire: Value, number: int) -> Value:
    """Whether a wire holds this number."""
    return wire == number if number else ~wire.any()


def one_of(m: Module, name: str, choices: list[tuple[Value, Any]]) -> Any:
    """The entry whose condition is high: exactly one is. A tree of multiplexers."""
    level = 0
    while len(choices) > 1:
        pairs = [(choices[j], choices[j + 1]) for j in range(0, len(choices) - 1, 2)]
        odd = choices[len(pairs) * 2 :]
        choices = []
        for number, ((one, entry), (other, its_entry)) in enumerate(pairs):
            wire = Signal(entry.shape(), name=f"{name}_{level}_{number}")
            m.d.comb += wire.eq(Mux(one, Value.cast(entry), Value.cast(its_entry)))
            choices.append((one | other, wire))
        choices += odd
        level += 1
    return choices[0][1]


TWIN = RowTopk
