"""The array: PEs that do detection, scores and values, and trees of adders behind them.

A step that is issued in some cycle has its operands in registers two cycles later, its products two cycles after that,
and a cycle later sums of PEs. In detection PE ``block * rank + r`` has element r of the low-rank vectors of a block of
keys; for scores and values PE ``row * per_row + l`` has ``each`` elements of the row, one a cycle.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, signed
from amaranth.lib import data

from siloom.rtl.machines._dota_layouts import detect_step, lane, later, low_bits, total, vector_bits, visit_step
from siloom.rtl.machines._dota_pe import Block, Pe
from siloom.rtl.machines._dota_size import DotaSize
from siloom.rtl.shared import place


class Array(Elaboratable):
    """The array.

    Attributes:
        detect, visit: In: what is issued in this cycle; never both.
        low_group, low_keys: In: operands of detection, a cycle after it is issued.
        queries: In: a vector for each row, a cycle after a round's first step is issued.
        vectors: In: keys or values of each row, at the same time.
        weights: In: a weight of each row, at the same time; zero where a row is not at work.
        detected: Out: scores [keys, rows], five cycles after ``detect``, which is then ``detected_step``.
        scores: Out: a score of each row, five cycles after the last step of a round, which is then ``scored_step``.
        results: Out: rounded sums of values, six cycles after a group's last step.
    """

    def __init__(self, size: DotaSize) -> None:
        self.size = size
        self.detect: Any = Signal(detect_step(size))
        self.visit: Any = Signal(visit_step(size))
        self.low_group: Any = Signal(size.tokens * low_bits(size))
        self.low_keys: Any = Signal(size.keys_at_once * low_bits(size))
        self.queries: Any = Signal(size.tokens * vector_bits(size))
        self.vectors: Any = Signal(size.tokens * vector_bits(size))
        self.weights: Any = Signal(size.tokens * size.design.operand_bits)
        self.detected: Any = Signal(size.keys_at_once * size.tokens * size.detected_bits)
        self.detected_step: Any = Signal(detect_step(size))
        self.scores: Any = Signal(data.ArrayLayout(signed(size.score_bits), size.tokens))
        self.scored_step: Any = Signal(visit_step(size))
        self.results: Any = Signal(size.tokens * vector_bits(size))

    def elaborate(self, platform: object) -> Module:
        """Registers for operands, PEs, trees."""
        m = Module()
        size = self.size
        detect2 = later(m, self.detect, 2, "detect")
        visit1 = later(m, self.visit, 1, "visit")
        visit2 = later(m, visit1, 1, "visit_at_pes")
        visit4 = later(m, visit2, 2, "visit_at_sums")
        detect4 = later(m, detect2, 2, "detect_at_sums")
        m.d.sync += [self.detected_step.eq(detect4), self.scored_step.eq(visit4)]

        low_group: Any = Signal(self.low_group.shape(), name="low_group_held")
        low_keys: Any = Signal(self.low_keys.shape(), name="low_keys_held")
        m.d.sync += [low_group.eq(self.low_group), low_keys.eq(self.low_keys)]
        queries: Any = Signal(size.tokens * vector_bits(size), name="queries_held")
        vectors: Any = Signal(size.tokens * vector_bits(size), name="vectors_held")
        weights: Any = Signal(self.weights.shape(), name="weights_held")
        with m.If(visit1.valid & (visit1.slice == 0)):
            m.d.sync += [queries.eq(self.queries), vectors.eq(self.vectors), weights.eq(self.weights)]

        pes: list[Any] = []
        width = size.design.operand_bits
        for p in range(size.pes):
            pe: Any = Pe(size)
            place(m, platform, pe, f"pe{p}", "dota_pe")
            block, r = divmod(p, size.rank)
            t, part = divmod(p, size.per_row)
            # PEs that no block of keys has do nothing in detection.
            keys = range(block * size.numbers, (block + 1) * size.numbers) if block < size.key_blocks else range(0)
            low_a = Cat(lane(low_group, i * size.rank + r, size.bits) for i in range(size.tokens))
            low_b = Cat(lane(low_keys, key * size.rank + r, size.bits) for key in keys)
            m.d.comb += [
                pe.valid.eq(detect2.valid | visit2.valid),
                pe.detects.eq(detect2.valid),
                pe.values.eq(visit2.values),
                pe.at.eq(visit2.slice),
                pe.low_a.eq(low_a if keys else 0),
                pe.low_b.eq(low_b if keys else 0),
                pe.query.eq(lane(queries, t * size.per_row + part, size.each * width)),
                pe.vector.eq(lane(vectors, t * size.per_row + part, size.each * width)),
                pe.weight.eq(lane(weights, t, width)),
                pe.add.eq(visit4.valid & visit4.values),
                pe.slice.eq(visit4.slice),
                pe.first.eq(visit4.first),
            ]
            pes.append(pe)
        self._sums(m, platform, pes)
        return m

    def _sums(self, m: Module, platform: object, pes: list[Any]) -> None:
        """Sums of PEs, for detection and for scores."""
        size = self.size
        detected = []
        for number in range(size.key_blocks):
            block: Any = Block(size)
            place(m, platform, block, f"block{number}", "dota_block")
            m.d.comb += block.parts.eq(Cat(pe.parts for pe in pes[number * size.rank : (number + 1) * size.rank]))
            detected.append(block.scores)
        m.d.comb += [self.detected.eq(Cat(detected)), self.results.eq(Cat(pe.results for pe in pes))]
        for t in range(size.tokens):
            mine = pes[t * size.per_row : (t + 1) * size.per_row]
            now: Any = Signal(signed(size.score_bits), name=f"part_of_score{t}")
            before: Any = Signal(signed(size.score_bits), name=f"score_before{t}")
            whole: Any = Signal(signed(size.score_bits), name=f"score{t}")
            m.d.sync += [now.eq(total(m, f"row{t}", [pe.whole for pe in mine])), before.eq(whole)]
            m.d.comb += [whole.eq(now + Mux(self.scored_step.slice == 0, 0, before)), self.scores[t].eq(whole)]
