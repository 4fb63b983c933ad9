"""A row of the sparse array: a PE for every place of a sub-row.

Each PE picks its key's element, or its value's, out of the tile's word that passes by. In the score phase it multiplies
it with the query's and sums up; the finished score goes through scaling and exponential and stays as a weight.
In the value phase it multiplies with that, and the row adds the products of its PEs. A row has two tasks at a time: one
whose scores are made, one whose values pass.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from siloom.models.sanger import SangerDesign
from siloom.rtl.machines._sanger_layouts import partial_layout, step_layout, task_layout, weight_layout
from siloom.rtl.machines._sanger_size import SangerSize
from siloom.rtl.pick import pick
from siloom.rtl.shared import place
from siloom.rtl.units.exp_sanger import ExpSanger
from siloom.rtl.units.score_scale import ScoreScale
from siloom.rtl.unread import unread
from siloom.sim.contract import fixed
from siloom.sim.selection.predicted_scores import EXP, SCALE
from siloom.sim.units import score_scale
from siloom.sim.units.exp_sanger import largest_input


class Pe(Component):
    """One processing element.

    Attributes:
        step: In: what it does with ``passing``, the element of its key or value, and ``q``, the query's.
        product: Out: a cycle later, the product; in the value phase its row adds it.
        scored: In: two cycles after its last element, a score is whole; ``root`` and ``shift`` scale it.
        below: In: when the scaled score is there: ``largest`` of its row and whether there is a key at all.
        weight: Out: with ``weighted``, the new weight, that of task ``weight_parity``.
    """

    values: Any
    parity: Any
    q: Any
    passing: Any
    product: Any
    sums: Any
    opens: Any
    scored: Any
    root: Any
    shift: Any
    largest: Any
    weight: Any
    weighted: Any
    weight_here: Any
    weight_parity: Any

    def __init__(self, size: SangerSize) -> None:
        self.size = size
        operand = signed(size.design.operand_bits)
        super().__init__(
            {
                "values": In(1),
                "parity": In(1),
                "q": In(operand),
                "passing": In(operand),
                "product": Out(signed(product_bits(size.design))),
                "sums": In(1),
                "opens": In(1),
                "scored": In(1),
                "root": In(SCALE.row_bits),
                "shift": In(size.exact_scale.shifted.bits),
                "largest": In(signed(SCALE.score_bits)),
                "weight": Out(EXP.width),
                "weighted": In(1),
                "weight_here": In(1),
                "weight_parity": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """One multiplier for both phases."""
        m = Module()
        size = self.size
        scale: Any = ScoreScale(size.exact_scale)
        place(m, platform, scale, "scale", "sanger_exact_scale")
        power: Any = ExpSanger(EXP)
        place(m, platform, power, "power", "sanger_power")
        weights = [Signal(EXP.width, name=f"weight{n}") for n in range(2)]
        factor: Any = Signal(signed(max(EXP.width, size.design.operand_bits) + 1))
        score: Any = Signal(signed(size.score_bits))
        below: Any = Signal(signed(SCALE.score_bits + 2))
        x: Any = Signal(EXP.width)
        given, nothing, nothing1 = Signal(), Signal(), Signal()
        end = largest_input(EXP)
        m.d.comb += factor.eq(Mux(self.values, pick(weights, self.parity), self.q))
        m.d.sync += self.product.eq(factor * self.passing)
        with m.If(self.sums):
            m.d.sync += score.eq(Mux(self.opens, 0, score) + self.product)
        m.d.comb += [
            scale.i.valid.eq(self.scored),
            scale.i.p.product.eq(score),
            scale.i.p.row.eq(self.root),
            scale.i.p.key.eq(2),  # the bit that the root's code leaves free
            scale.i.p.shift.eq(self.shift),
            scale.o.ready.eq(1),
            below.eq(scale.o.p.score - self.largest + size.design.selection.window_code),
            power.i.valid.eq(given),
            power.i.p.x.eq(x),
            power.o.ready.eq(1),
            self.weight.eq(Mux(nothing1 | ~self.weight_here, 0, power.o.p.power)),
        ]
        unread(m, [scale.i.ready, power.i.ready])
        m.d.sync += [
            given.eq(scale.o.valid),
            x.eq(Mux(below > end, end, below)),
            nothing.eq(below < 0),
            nothing1.eq(nothing),
        ]
        with m.If(self.weighted & power.o.valid):
            for n in range(2):
                with m.If(self.weight_parity == n):
                    m.d.sync += weights[n].eq(self.weight)
        return m


class Row(Component):
    """All PEs of a row, and the registers on the way to the row below.

    Attributes:
        step, passing: In: what to do, and the tile's word; ``step_below`` and ``passing_below`` a cycle later.
        task, task_given, word, word_given, task_parity: In: a new task and a word of its query.
        root: In: of the head.
        partial: Out: an element of a sub-row's weighted sum.
        weights: Out: the sum of its weights.
    """

    step: Any
    passing: Any
    step_below: Any
    passing_below: Any
    task: Any
    task_given: Any
    task_parity: Any
    word: Any
    word_given: Any
    root: Any
    partial: Any
    weights: Any

    def __init__(self, size: SangerSize) -> None:
        self.size = size
        operand = signed(size.design.operand_bits)
        step, tile = step_layout(size), data.ArrayLayout(operand, size.columns)
        super().__init__(
            {
                "step": In(step),
                "passing": In(tile),
                "step_below": Out(step),
                "passing_below": Out(tile),
                "task": In(task_layout(size)),
                "task_given": In(1),
                "task_parity": In(1),
                "word": In(data.ArrayLayout(operand, size.rows)),
                "word_given": In(1),
                "root": In(SCALE.row_bits),
                "partial": Out(partial_layout(size)),
                "weights": Out(weight_layout(size)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Tasks, steps on their way, PEs, sums."""
        m = Module()
        size = self.size
        bits = size.design.operand_bits
        tasks = [Signal(task_layout(size), name=f"task{n}") for n in range(2)]
        for n in range(2):
            with m.If(self.task_given & (self.task_parity == n)):
                m.d.sync += tasks[n].eq(self.task)
        query: Any = Signal(size.rows * bits)
        with m.If(self.word_given):
            m.d.sync += query.eq(Cat(self.word))
        with m.Elif(self.step.valid & ~self.step.values):
            m.d.sync += query.eq(query[bits:])
        m.d.sync += [self.step_below.eq(self.step), self.passing_below.eq(self.passing)]

        sums, opens = Signal(), Signal()
        m.d.sync += [sums.eq(self.step.valid & ~self.step.values), opens.eq(self.step.first)]
        scaled = fixed(score_scale.contract(size.exact_scale).latency)
        ends = [Signal(name=f"ends{n}") for n in range(scaled + 5)]
        parities = [Signal(name=f"parity{n}") for n in range(scaled + 5)]
        m.d.comb += [ends[0].eq(self.step.valid & ~self.step.values & self.step.last), parities[0].eq(self.step.parity)]
        for line in (ends, parities):
            m.d.sync += [after.eq(before) for before, after in pairwise(line)]
        here, weighing = parities[0], parities[scaled + 4]

        def of(parity: Any, field: str) -> Any:
            """What the task of a parity says."""
            return Mux(parity, tasks[1][field], tasks[0][field])

        columns: Any = Signal(tasks[0].columns.shape())
        weighed, largest = Signal(size.pack.counted.bits), Signal(signed(SCALE.score_bits))
        m.d.comb += [
            columns.eq(of(here, "columns")),
            weighed.eq(of(weighing, "count")),
            largest.eq(of(parities[scaled + 2], "largest")),
        ]
        products, weights = [], []
        for p in range(size.places):
            pe: Any = Pe(size)
            place(m, platform, pe, f"pe{p}", "sanger_pe")
            m.d.comb += [
                pe.values.eq(self.step.values),
                pe.parity.eq(self.step.parity),
                pe.q.eq(query[:bits].as_signed()),
                pe.passing.eq(pick(list(self.passing), columns[p]).as_signed()),
                pe.sums.eq(sums),
                pe.opens.eq(opens),
                pe.scored.eq(ends[2]),
                pe.root.eq(self.root),
                pe.shift.eq(2 * size.design.fraction_bits + SCALE.row_bits - SCALE.fraction),
                pe.largest.eq(largest),
                pe.weighted.eq(ends[scaled + 4]),
                pe.weight_here.eq(weighed > p),
                pe.weight_parity.eq(weighing),
            ]
            products.append(pe.product)
            weights.append(pe.weight)
        m.d.sync += [
            self.weights.valid.eq(ends[scaled + 4] & (weighed != 0)),
            self.weights.total.eq(sum(weights)),
            self.weights.query.eq(of(weighing, "query")),
            self.weights.first.eq(of(weighing, "first")),
            self.partial.sum.eq(sum(products)),
        ]
        # The row's next task may come before the last products of this one are added.
        valid, word, first = Signal(), Signal(size.word_bits), Signal()
        m.d.sync += [
            valid.eq(self.step.valid & self.step.values & (of(here, "count") != 0)),
            word.eq(of(here, "base") + self.step.element[size.row_bits :]),
            first.eq(of(here, "first")),
            self.partial.valid.eq(valid),
            self.partial.word.eq(word),
            self.partial.first.eq(first),
        ]
        return m


def product_bits(design: SangerDesign) -> int:
    """Of a weight and a value, or of two operands."""
    return max(EXP.width, design.operand_bits) + design.operand_bits
