"""What DOTA's array is made of: PEs, and adders that sum up what PEs detect for a block of keys."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib.wiring import Component, In, Out

from siloom.rtl.lanes import lanes
from siloom.rtl.machines._dota_layouts import lane, total
from siloom.rtl.machines._dota_size import DotaSize
from siloom.rtl.pick import pick
from siloom.rtl.rounding import clamp, half_even
from siloom.rtl.units.multi_precision_mul import MultiPrecisionMul


class Pe(Component):
    """A multiplier that comes apart, and sums of the values' elements that are the PE's own.

    Attributes:
        valid, detects, values: In: operands are there, and of what: detection, values, else scores.
        at: In: which of the PE's elements.
        low_a, low_b: In: numbers of queries and of keys for detection.
        query, vector: In: elements of a query, and of a key or value.
        weight: In: of the value.
        whole: Out: the product, two cycles later.
        parts: Out: products of all pairs of numbers.
        add, slice, first: In: the product is added to the sum of this element, or is its first.
        results: Out: sums of all elements, rounded, two cycles after the last product.
    """

    valid: Any
    detects: Any
    values: Any
    at: Any
    low_a: Any
    low_b: Any
    query: Any
    vector: Any
    weight: Any
    whole: Any
    parts: Any
    add: Any
    slice: Any
    first: Any
    results: Any

    def __init__(self, size: DotaSize) -> None:
        self.size = size
        wide = size.multiplier.wide_bits
        number = range(max(2, size.each))
        super().__init__(
            {
                "valid": In(1),
                "detects": In(1),
                "values": In(1),
                "at": In(number),
                "low_a": In(wide),
                "low_b": In(wide),
                "query": In(size.each * wide),
                "vector": In(size.each * wide),
                "weight": In(wide),
                "whole": Out(signed(2 * wide)),
                "parts": Out(2 * size.bits * size.numbers**2),
                "add": In(1),
                "slice": In(number),
                "first": In(1),
                "results": Out(size.each * wide),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Choices of operands, the multiplier, which always moves, and registers."""
        m = Module()
        size = self.size
        wide = size.multiplier.wide_bits
        m.submodules.multiplier = unit = MultiPrecisionMul(size.multiplier)
        products = lanes(unit.o.p.product)
        at = self.at[: max(1, (size.each - 1).bit_length())]
        query, vector = (pick([lane(x, n, wide) for n in range(size.each)], at) for x in (self.query, self.vector))
        m.d.comb += [
            unit.i.valid.eq(self.valid),
            unit.i.p.a.eq(Mux(self.detects, self.low_a, Mux(self.values, self.weight, query))),
            unit.i.p.b.eq(Mux(self.detects, self.low_b, vector)),
            unit.i.p.mode.eq(Mux(self.detects, (size.numbers - 1).bit_length(), 0)),
            unit.o.ready.eq(1),
            self.whole.eq(products[0]),
            self.parts.eq(Cat(product[: 2 * size.bits] for product in products[: size.numbers**2])),
        ]
        top = (1 << (size.design.operand_bits - 1)) - 1
        for n in range(size.each):
            held: Any = Signal(signed(size.sum_bits), name=f"sum{n}")
            with m.If(self.add & (self.slice == n)):
                m.d.sync += held.eq(Mux(self.first, 0, held) + self.whole)
            rounded: Any = Signal(signed(size.sum_bits - size.weight_bits + 1), name=f"rounded{n}")
            result: Any = Signal(signed(wide), name=f"result{n}")
            m.d.comb += [
                rounded.eq(half_even(held, size.weight_bits)),
                lane(self.results, n, wide).eq(result),
            ]
            m.d.sync += result.eq(clamp(rounded, -top, top))
        return m


class Block(Component):
    """Scores of a block of keys, from the PEs that have one element each of their low-rank vectors.

    Attributes:
        parts: In: products of these PEs, side by side.
        scores: Out: their sums a cycle later, of each key those of all rows.
    """

    parts: Any
    scores: Any

    def __init__(self, size: DotaSize) -> None:
        self.size = size
        super().__init__(
            {
                "parts": In(size.rank * 2 * size.bits * size.numbers**2),
                "scores": Out(size.numbers * size.tokens * size.detected_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """A tree for each score."""
        m = Module()
        size = self.size
        pairs, bits = size.numbers**2, 2 * size.bits
        for j in range(size.numbers):
            for i in range(size.tokens):
                products = [
                    lane(self.parts, r * pairs + i * size.numbers + j, bits).as_signed() for r in range(size.rank)
                ]
                held: Any = Signal(signed(size.detected_bits), name=f"score{j}_{i}")
                m.d.sync += held.eq(total(m, f"score{j}_{i}", products))
                m.d.comb += lane(self.scores, j * size.tokens + i, size.detected_bits).eq(held)
        return m
