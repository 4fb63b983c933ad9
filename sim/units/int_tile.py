"""Steps of integer units on whole vectors of sums: what ``register_tile`` repeats for every k.

Each takes one fused multiply-add first, which is exact while the sum is a number of the lanes' format.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from siloom.sim.units.register_tile import Vector, tile_of


def _saturate(
    builder: ir.IRBuilder, sums: Vector, marks: Vector, a: Vector, b: Vector, constants: Sequence[Vector]
) -> tuple[Vector, Vector]:
    low, high, _ = constants
    free = call(builder, "fma", a, b, sums)
    above = builder.select(builder.fcmp_ordered(">", free, low), free, low)
    kept = builder.select(builder.fcmp_ordered("<", above, high), above, high)
    return kept, mark_changes(builder, marks, free, kept)


def _wrap(
    builder: ir.IRBuilder, sums: Vector, marks: Vector, a: Vector, b: Vector, constants: Sequence[Vector]
) -> tuple[Vector, Vector]:
    inverse, half, minus_size = constants
    free = call(builder, "fma", a, b, sums)
    turns = call(builder, "floor", call(builder, "fma", free, inverse, half))
    kept = call(builder, "fma", turns, minus_size, free)
    return kept, mark_changes(builder, marks, free, kept)


def call(builder: ir.IRBuilder, name: str, *arguments: Vector) -> Vector:
    """One of LLVM's own functions on vectors."""
    kind = arguments[0].type
    bits = 32 if isinstance(kind.element, ir.FloatType) else 64
    full = f"llvm.{name}.v{kind.count}f{bits}"
    known = builder.module.globals.get(full)
    function = known or ir.Function(builder.module, ir.FunctionType(kind, [kind] * len(arguments)), full)
    return builder.call(function, arguments)


def mark_changes(builder: ir.IRBuilder, marks: Vector, before: Vector, after: Vector) -> Vector:
    """All ones where two numbers differ, kept."""
    return builder.or_(marks, builder.sext(builder.fcmp_unordered("!=", before, after), marks.type))


SATURATE, WRAP = range(2)
int_tile = tile_of((_saturate, _wrap), (_saturate, _wrap))
"""``mac``'s step on whole numbers; marks say where a sum ever left the range. Exact while the range and one product
together stay within 2**24 in single precision, 2**53 in double. Constants: for SATURATE lowest, highest, any; for WRAP
2**-bits, 0.5, -2**bits. Where a product fits the range, a sum lies at most half a range beyond it; its number of turns,
rounded to float, keeps to its side of every whole number because the borders and their neighbours inward are floats.
Where it does not, the range itself must fit the lanes once more: then the number of turns is not rounded."""
