"""The dot product of two vectors that come in one beat: all products at once, then a tree of adders."""

from __future__ import annotations

from amaranth.hdl import Module, Shape, Value

from siloom.rtl.elastic import Values
from siloom.rtl.lanes import lanes, side_by_side, tree
from siloom.rtl.spread import MULTIPLY, Step


def dot_product(one: str, other: str, count: int, product_bits: int, total: str, shape: Shape) -> list[Step]:
    """Steps from the ``count`` lanes of ``one`` and ``other``, signed, to the number ``total``.

    Whatever else a beat carries is passed on. Every product fits ``product_bits``, their sum ``shape``, and no adder is
    wider than that.
    """

    def multiply(m: Module, given: Values, moves: Value) -> Values:
        bits = min(product_bits, shape.width)
        pairs = zip(lanes(given[one]), lanes(given[other]), strict=True)
        products = [(a * b)[:bits].as_signed() for a, b in pairs]
        kept = {name: value for name, value in given.items() if name not in (one, other)}
        return {**kept, total: side_by_side(m, "products", Shape(bits, signed=True), products)}

    return [Step(multiply, MULTIPLY), *tree(total, count, shape)]
