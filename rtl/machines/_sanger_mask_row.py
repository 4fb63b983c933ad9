"""What comes behind a row of the prediction array: a softmax without division, and bits for the keys it keeps.

A block's scores are scaled, stored and their largest found while the array works; then a sweep over the keys raises
them to powers and sums these, and a second one compares each with the sum's share. The sweeps are two stages of a
pipeline: a block is compared while the next is raised and the one after that is scored, so scores and powers have a
memory of two halves each, and what is known of a block moves on with it.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from siloom.rtl.machines._sanger_size import SangerSize
from siloom.rtl.shared import place
from siloom.rtl.units.exp_sanger import ExpSanger
from siloom.rtl.units.mask_threshold import MaskThreshold
from siloom.rtl.units.score_scale import ScoreScale
from siloom.rtl.unread import unread
from siloom.sim.selection.predicted_scores import EXP, SCALE
from siloom.sim.units.exp_sanger import largest_input


def rows_layout(size: SangerSize) -> Any:
    """What a row knows of its block; ``half``: where its scores and powers lie."""
    return data.StructLayout({"block": size.block_bits, "seq": (size.seq).bit_length(), "causal": 1, "half": 1})


def block_layout(size: SangerSize) -> Any:
    """What is known of a block of rows on its way."""
    return data.StructLayout(
        {
            "rows": rows_layout(size),
            "parts": size.part_bits + 1,
            "head": 1,
            "first": 1,
            "last": 1,
        }
    )


class MaskRow(Component):
    """One row.

    Attributes:
        row: In: its number in its block.
        given: In: ``product`` is a sum of the array; with ``query_scale``, ``key_scale`` and ``shift``.
        scored: In: of the score that the scaling gives, whether there is one, and its ``scored_key``, block and head;
            ``opens``: the first of its block.
        raise_begin, compare_begin: In: the block before moves on to this sweep.
        raised: In: which key's score was read in the cycle before; ``raise_first``: the first of its block.
        compared: In: likewise of its power; ``compare_best``: none, the largest power is compared first.
        raising, comparing: In: the blocks in the sweeps.
        largest: Out: the largest score of the row that is raised, and ``query``, its number.
        word: Out: the bits of the last whole part that was compared.
    """

    row: Any
    given: Any
    product: Any
    query_scale: Any
    key_scale: Any
    shift: Any
    scored: Any
    scored_key: Any
    scoring: Any
    opens: Any
    raise_begin: Any
    raise_at: Any
    raised: Any
    raise_first: Any
    raising: Any
    compare_begin: Any
    compare_at: Any
    compared: Any
    compare_best: Any
    comparing: Any
    largest: Any
    word: Any

    def __init__(self, size: SangerSize) -> None:
        self.size = size
        block = rows_layout(size)
        super().__init__(
            {
                "row": In(max(1, size.row_bits)),
                "given": In(1),
                "product": In(signed(size.predicted)),
                "query_scale": In(SCALE.row_bits),
                "key_scale": In(SCALE.key_bits),
                "shift": In(size.predicted_scale.shifted.bits),
                "scored": In(1),
                "scored_key": In(size.key_bits),
                "scoring": In(block),
                "opens": In(1),
                "raise_begin": In(1),
                "raise_at": In(size.key_bits),
                "raised": In(1),
                "raise_first": In(1),
                "raising": In(block),
                "compare_begin": In(1),
                "compare_at": In(size.key_bits),
                "compared": In(1),
                "compare_best": In(1),
                "comparing": In(block),
                "largest": Out(signed(SCALE.score_bits)),
                "word": Out(size.columns),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Score, raise, compare."""
        m = Module()
        best: Any = Signal(self.size.key_bits)
        self._score(m, platform, best)
        total: Any = Signal(self.size.total_bits)
        top: Any = Signal(EXP.width)
        powers = self._raise(m, platform, total, top)
        self._compare(m, platform, powers, total, top, best)
        return m

    def _allowed(self, block: Any, key: Any) -> Any:
        """Whether the row's query may look at a key."""
        query = Cat(self.row[: self.size.row_bits], block.block)
        return (key < block.seq) & (query < block.seq) & (~block.causal | (key <= query))

    def _score(self, m: Module, platform: object, best_out: Any) -> None:
        """Scale, store, and find the largest; of equal ones the lowest key. Columns come from the right."""
        size = self.size
        unit: Any = ScoreScale(size.predicted_scale)
        place(m, platform, unit, "scale", "sanger_predicted_scale")
        m.submodules.scores = scores = Memory(shape=signed(SCALE.score_bits), depth=2 << size.key_bits, init=[])
        write, self._read_score = scores.write_port(), scores.read_port()
        score = unit.o.p.score
        largest: Any = Signal(signed(SCALE.score_bits))
        best: Any = Signal(size.key_bits)
        some: Any = Signal()
        better: Any = Signal()
        same_part = best[size.column_bits :] == self.scored_key[size.column_bits :]
        known = some & ~self.opens
        m.d.comb += [
            unit.i.valid.eq(self.given),
            unit.i.p.product.eq(self.product),
            unit.i.p.row.eq(self.query_scale),
            unit.i.p.key.eq(self.key_scale),
            unit.i.p.shift.eq(self.shift),
            unit.o.ready.eq(1),
            write.en.eq(self.scored),
            write.addr.eq(Cat(self.scored_key, self.scoring.half)),
            write.data.eq(score),
            better.eq(
                self._allowed(self.scoring, self.scored_key)
                & (~known | (score > largest) | ((score == largest) & same_part))
            ),
            self._read_score.addr.eq(Cat(self.raise_at, self.raising.half)),
        ]
        unread(m, [unit.i.ready])
        with m.If(self.scored & unit.o.valid):
            m.d.sync += some.eq(known | better)
            with m.If(better):
                m.d.sync += [largest.eq(score), best.eq(self.scored_key)]
        with m.If(self.raise_begin):
            m.d.sync += [self.largest.eq(largest), best_out.eq(best)]

    def _raise(self, m: Module, platform: object, total: Any, top: Any) -> Any:
        """Difference to the largest, power, sum and largest power; the memory's port for the comparison."""
        size = self.size
        unit: Any = ExpSanger(EXP)
        place(m, platform, unit, "power", "sanger_power")
        m.submodules.powers = powers = Memory(shape=EXP.width, depth=2 << size.key_bits, init=[])
        write, read = powers.write_port(), powers.read_port()
        key, key1, key2 = (Signal(size.key_bits, name=f"raised_key{n}") for n in range(3))
        below: Any = Signal(signed(SCALE.score_bits + 2))
        given, nothing, nothing1 = Signal(), Signal(), Signal()
        first1, first2, valid1 = Signal(), Signal(), Signal()
        x: Any = Signal(EXP.width)
        end = largest_input(EXP)
        power: Any = Signal(EXP.width)
        m.d.comb += [
            below.eq(self._read_score.data - self.largest + size.design.selection.window_code),
            power.eq(Mux(nothing1, 0, unit.o.p.power)),
            unit.i.valid.eq(valid1),
            unit.i.p.x.eq(x),
            unit.o.ready.eq(1),
            write.en.eq(unit.o.valid & given),
            write.addr.eq(Cat(key2, self.raising.half)),
            write.data.eq(power),
            read.addr.eq(Cat(self.compare_at, self.comparing.half)),
        ]
        m.d.sync += [
            key.eq(self.raise_at),
            key1.eq(key),
            key2.eq(key1),
            valid1.eq(self.raised),
            given.eq(valid1),
            nothing.eq((below < 0) | ~self._allowed(self.raising, key)),
            nothing1.eq(nothing),
            first1.eq(self.raise_first),
            first2.eq(first1),
            x.eq(Mux(below > end, end, below)),
        ]
        unread(m, [unit.i.ready])
        with m.If(given):
            m.d.sync += [
                total.eq(Mux(first2, 0, total) + power),
                top.eq(Mux(first2 | (power > top), power, top)),
            ]
        return read

    def _compare(self, m: Module, platform: object, powers: Any, total: Any, top: Any, best: Any) -> None:
        """Power by power against the sum's share; a row of which none passes keeps its likeliest key."""
        size = self.size
        unit: Any = MaskThreshold(size.threshold)
        place(m, platform, unit, "threshold", "sanger_threshold")
        held_total, held_top, held_best = Signal(size.total_bits), Signal(EXP.width), Signal(size.key_bits)
        key, key1 = Signal(size.key_bits, name="compared_key0"), Signal(size.key_bits, name="compared_key1")
        valid, is_best, none, allowed, keep = Signal(), Signal(), Signal(), Signal(), Signal()
        bits: Any = Signal(size.columns)
        all_bits: Any = Signal(size.columns)
        with m.If(self.compare_begin):
            m.d.sync += [held_total.eq(total), held_top.eq(top), held_best.eq(best)]
        unread(m, [unit.i.ready])
        passes = unit.o.p.kept if size.design.threshold else 1
        m.d.comb += [
            unit.i.valid.eq(self.compared),
            unit.i.p.power.eq(Mux(self.compare_best, held_top, powers.data)),
            unit.i.p.total.eq(held_total),
            unit.o.ready.eq(1),
            allowed.eq(self._allowed(self.comparing, key1)),
            keep.eq(allowed & Mux(none, key1 == held_best, passes)),
            all_bits.eq(Cat(bits[1:], keep)),
        ]
        m.d.sync += [key.eq(self.compare_at), key1.eq(key), valid.eq(self.compared), is_best.eq(self.compare_best)]
        with m.If(valid & unit.o.valid):
            with m.If(is_best):
                m.d.sync += none.eq(~unit.o.p.kept if size.design.threshold else 0)
            with m.Else():
                m.d.sync += bits.eq(all_bits)
                with m.If(key1[: size.column_bits].all()):
                    m.d.sync += self.word.eq(all_bits)
