"""Softmax beside the array: every row of a group has so many lanes, for exponentials first and for quotients then.

A row's scores come in the order of rounds and lie in a list, as do its weights; of scores two groups' lists are held.
A group begins when its last score is in its list. Each cycle a word of every row's list goes to the exponentials,
whose results, as fixed-point numbers, are kept and added up; when the last is in the sum they are read again and go
through dividers to the list of weights.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, signed
from amaranth.lib import data
from amaranth.lib.memory import Memory

from siloom.models._dota_softmax import POWER_BITS
from siloom.rtl.barrel import barrel_right, named
from siloom.rtl.machines._dota_layouts import lane, later, total, visit_step
from siloom.rtl.machines._dota_quotient import Quotient
from siloom.rtl.machines._dota_size import DotaSize
from siloom.rtl.pick import pick
from siloom.rtl.shared import place
from siloom.rtl.units.exp_float import ExpFloat

_EARLY = 5  # cycles before those that SOFTMAX_FILL and a group's words are counted from
_UNTIL_SUM = 6  # cycles from a list's word being asked for until its powers are in the sum
_GAP = 5  # cycles between the two passes
_UNTIL_WEIGHT = 7  # cycles from a power's word being asked for until its weights can be asked for


class Softmax(Elaboratable):
    """The unit.

    Attributes:
        begin: In: a head begins.
        step, scores: In: the array's, at the end of a round if the step ends one.
        issued: In: the last step of a group's scores is issued in this cycle.
        weighted: Groups whose weights can be asked for in the next cycle.
        parity: In: of the group whose weights are asked for; ``begins``: rows whose next weight that is; ``restarts``:
            afterwards all rows begin at their first one.
        weights: Out: these, a cycle later; zero for other rows.
    """

    def __init__(self, size: DotaSize) -> None:
        self.size = size
        self.begin: Any = Signal()
        self.step: Any = Signal(visit_step(size))
        self.scores: Any = Signal(data.ArrayLayout(signed(size.score_bits), size.tokens))
        self.issued: Any = Signal()
        self.weighted: Any = Signal(size.group_bits + 1)
        self.parity: Any = Signal()
        self.begins: Any = Signal(size.tokens)
        self.restarts: Any = Signal()
        self.weights: Any = Signal(size.tokens * size.design.operand_bits)

    def elaborate(self, platform: object) -> Module:
        """The two passes' counter, and rows."""
        m = Module()
        size = self.size
        bits = size.list_words.bit_length() + 1
        group: Any = Signal(size.group_bits + 1)
        waiting: Any = Signal(3)
        at: Any = Signal(bits)
        # Exponentials, a gap, quotients, and a cycle in which the next group is let in.
        first_pass, second_pass = Signal(), Signal()
        gap: Any = Signal(range(_GAP + 2))
        gaps, starts, runs, ends = Signal(), Signal(), Signal(), Signal()
        rows = [_Row(size) for _ in range(size.tokens)]
        for t, row in enumerate(rows):
            m.submodules[f"row{t}"] = row
        came = later(m, self.issued, size.design.latency_cycles - _EARLY, "issued")
        counts: list[Any] = [pick(list(row.counts), group[0]) for row in rows]
        words: list[Any] = [
            named(m, (count + size.row_lanes - 1) >> (size.row_lanes.bit_length() - 1), f"words{t}")
            for t, count in enumerate(counts)
        ]
        most = words[0]
        for t, word in enumerate(words[1:]):
            most = named(m, Mux(word > most, word, most), f"most{t}")
        m.d.comb += [
            runs.eq(first_pass | gaps | second_pass),
            starts.eq(~runs & (waiting != 0)),
            ends.eq(at + 1 == most),
        ]
        m.d.sync += waiting.eq(waiting + came - starts)
        now = Signal()
        m.d.comb += now.eq(first_pass | starts)
        with m.If(now):
            m.d.sync += [at.eq(Mux(ends, 0, at + 1)), first_pass.eq(~ends), gaps.eq(ends), gap.eq(0)]
        with m.If(gaps):
            m.d.sync += gap.eq(gap + 1)
            with m.If(gap == _GAP - 1):
                m.d.sync += [gaps.eq(0), second_pass.eq(1)]
            with m.If(gap == _GAP):
                m.d.sync += [gaps.eq(0), group.eq(group + 1)]
        with m.If(second_pass):
            m.d.sync += at.eq(Mux(ends, 0, at + 1))
            with m.If(ends):
                m.d.sync += [second_pass.eq(0), gaps.eq(1), gap.eq(_GAP)]
        done = Signal()
        m.d.comb += done.eq(second_pass & ends)
        m.d.sync += self.weighted.eq(self.weighted + later(m, done, _UNTIL_WEIGHT - 1, "done"))
        with m.If(self.begin):
            m.d.sync += [group.eq(0), waiting.eq(0), self.weighted.eq(0)]
        for t, row in enumerate(rows):
            m.d.comb += [
                row.comes.eq(self.step.valid & ~self.step.values & self.step.ends),
                row.owns.eq(self.step.owners[t]),
                row.first.eq(self.step.first),
                row.parity.eq(self.step.parity),
                row.score.eq(self.scores[t]),
                row.group.eq(group[0]),
                row.at.eq(at),
                row.exponentials.eq(now),
                row.quotients.eq(second_pass),
                row.takes.eq(self.begins[t]),
                row.takes_parity.eq(self.parity),
                row.restarts.eq(self.restarts),
                lane(self.weights, t, size.design.operand_bits).eq(row.weight),
            ]
        return m


class _Row(Elaboratable):
    """Lists, lanes, the largest score and the sum of one row of a group."""

    def __init__(self, size: DotaSize) -> None:
        self.size = size
        self.comes: Any = Signal()
        self.owns: Any = Signal()
        self.first: Any = Signal()
        self.parity: Any = Signal()
        self.score: Any = Signal(signed(size.score_bits))
        self.counts: Any = Signal(data.ArrayLayout(size.keep.bit_length(), 2))
        self.group: Any = Signal()
        self.at: Any = Signal(size.list_words.bit_length() + 1)
        self.exponentials: Any = Signal()
        self.quotients: Any = Signal()
        self.takes: Any = Signal()
        self.takes_parity: Any = Signal()
        self.restarts: Any = Signal()
        self.weight: Any = Signal(signed(size.design.operand_bits))

    def elaborate(self, platform: object) -> Module:
        """In: a score; through: two passes; out: a weight."""
        m = Module()
        size = self.size
        bits = max(1, (size.list_words - 1).bit_length())
        lane_bits = size.row_lanes.bit_length() - 1
        score = signed(size.score_bits)

        def listed(name: str, shape: Any, depth: int, granularity: int | None) -> tuple[Any, Any]:
            memory = Memory(shape=data.ArrayLayout(shape, size.row_lanes), depth=depth, init=[])
            m.submodules[name] = memory
            return memory.write_port(granularity=granularity), memory.read_port()

        # Scores.
        write, read = listed("scores", score, 2 << bits, 1)
        best: Any = Signal(data.ArrayLayout(score, 2))
        count: Any = Signal(size.keep.bit_length())
        before = pick(list(self.counts), self.parity)
        m.d.comb += [
            count.eq(Mux(self.first, 0, before)),
            write.en.eq(Mux(self.comes & self.owns, Const(1, 1) << count[:lane_bits], 0)),
            write.addr.eq(
                Cat(count[lane_bits : lane_bits + bits], Const(0, max(0, bits - len(count[lane_bits:]))), self.parity)
            ),
            *(write.data[n].eq(self.score) for n in range(size.row_lanes)),
            read.addr.eq(Cat(self.at[:bits], self.group)),
        ]
        for half in range(2):
            with m.If(self.comes & (self.parity == half)):
                m.d.sync += self.counts[half].eq(count + self.owns)
                with m.If(self.owns & ((count == 0) | (self.score > best[half]))):
                    m.d.sync += best[half].eq(self.score)

        # Exponentials, their sum.
        at1 = later(m, self.at, 1, "at")
        held = pick(list(self.counts), self.group)
        largest = named(m, pick(list(best), self.group).as_signed(), "largest")
        unit = size.exponential
        powers = []
        starts = later(m, self.exponentials & (self.at == 0), _UNTIL_SUM - 1, "starts")
        for n in range(size.row_lanes):
            exp: Any = ExpFloat(unit)
            place(m, platform, exp, f"exp{n}", "dota_exp")
            below = named(m, read.data[n] - largest, f"below{n}")
            least = -(1 << (unit.score_bits - 1))
            inside = named(m, Cat(at1, Const(0, 1)) * size.row_lanes + n < held, f"inside{n}")
            m.d.comb += [
                exp.i.valid.eq(1),
                exp.i.p.score.eq(Mux(below < least, least, below)),
                exp.o.ready.eq(1),
            ]
            code = exp.o.p.power
            down = named(m, (127 - code[POWER_BITS:])[:8], f"down{n}")
            power, _ = barrel_right(m, Cat(code[:POWER_BITS], Const(1, 1)), down)
            fixed: Any = Signal(size.power_bits, name=f"power{n}")
            m.d.sync += fixed.eq(Mux(later(m, inside, unit.stages, f"inside{n}_"), power, 0))
            powers.append(fixed)
        whole: Any = Signal(size.total_bits, name="total")
        works = later(m, self.exponentials, _UNTIL_SUM - 1, "works")
        with m.If(works):
            m.d.sync += whole.eq(Mux(starts, 0, whole) + total(m, "powers", powers))

        # Quotients.
        write_power, read_power = listed("powers", size.power_bits, 1 << bits, None)
        m.d.comb += [
            write_power.en.eq(works),
            write_power.addr.eq(later(m, self.at, _UNTIL_SUM - 1, "at_power")[:bits]),
            *(write_power.data[n].eq(power) for n, power in enumerate(powers)),
            read_power.addr.eq(self.at[:bits]),
        ]
        write_weight, read_weight = listed("weights", size.weight_bits, 2 << bits, None)
        for n in range(size.row_lanes):
            quotient: Any = Quotient(size)
            place(m, platform, quotient, f"quotient{n}", "dota_quotient")
            m.d.comb += [
                quotient.power.eq(read_power.data[n]),
                quotient.total.eq(whole),
                write_weight.data[n].eq(quotient.weight),
            ]
        given: Any = Signal(size.keep.bit_length() + 1)
        m.d.comb += [
            write_weight.en.eq(later(m, self.quotients, _UNTIL_WEIGHT, "weighs")),
            write_weight.addr.eq(
                Cat(later(m, self.at, _UNTIL_WEIGHT, "at_weight")[:bits], later(m, self.group, _UNTIL_WEIGHT, "half"))
            ),
            read_weight.addr.eq(
                Cat(
                    given[lane_bits : lane_bits + bits],
                    Const(0, max(0, bits - len(given[lane_bits:]))),
                    self.takes_parity,
                )
            ),
        ]
        with m.If(self.takes):
            m.d.sync += given.eq(given + 1)
        with m.If(self.restarts):
            m.d.sync += given.eq(0)
        lane1 = later(m, given[: max(1, lane_bits)], 1, "lane")
        chosen = pick(list(read_weight.data), lane1) if size.row_lanes > 1 else read_weight.data[0]
        m.d.comb += self.weight.eq(Mux(later(m, self.takes, 1, "taken"), chosen, 0))
        return m
