"""The inner loop of matrix products: a tile of sums held in the host's registers while k runs.

A tile is ``ROWS`` rows by one vector of columns. For each k one number of every row is spread over a vector, and each
vector of sums takes one step: ``step`` says which, as an array of units of one kind would, all at once. The loop is
emitted as vector instructions of LLVM, because its own vectoriser works on innermost loops, and here that is k, whose
steps depend on each other. LLVM fits the vectors to the host; the order of every sum is k = 0, 1, 2, ...

Operands come packed: A's panel as (k, ROWS), B's as (k, columns), both of the lanes' own type, in flat arrays. Zeros
stand where a matrix has no row or column.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from siloom.sim.jit import inline_kernel

ROWS = 8
"""Rows of a tile: enough sums under way that no adder waits for its own, few enough for 32 registers of 32 bytes."""

_BYTES = 64
"""What a row of a tile takes: 16 sums of single precision, 8 of double."""

Vector: TypeAlias = Any
"""An ``ir.Value`` of a vector type."""
Step = Callable[[ir.IRBuilder, Vector, Vector, Vector, Vector, Sequence[Vector]], tuple[Vector, Vector]]
"""Builder, sums, marks, A's numbers, B's numbers, constants -> sums and marks. Marks are whole numbers as wide as the
lanes, for whatever else a step keeps of each sum."""


@inline_kernel
def columns_of(itemsize: int) -> int:
    """Columns of a tile whose sums take so many bytes each."""
    return _BYTES // itemsize


def tile_of(single: Sequence[Step], double: Sequence[Step]) -> Any:
    """The compiled function ``tile(kind, a, a_at, b, b_at, count, before, after, marks, at, row, constants)``.

    ``kind`` is the place of a step among those for sums of the type that ``after`` holds. From ``a[a_at]`` and
    ``b[b_at]`` on lie the panels. Of the flat arrays ``before``, ``after`` and ``marks`` the tile has ROWS rows,
    ``row`` elements apart, from ``at`` on: sums start from ``before`` and marks from what ``marks`` holds; what
    ``count`` steps, at least one, leave is put into ``after`` and ``marks``. ``constants`` is a tuple of numbers of the
    sums' type. Indices are not checked.
    """

    @intrinsic  # type: ignore[untyped-decorator]
    def tile(
        typing: Any, kind: Any,
        a: Any, a_at: Any, b: Any, b_at: Any, count: Any,
        before: Any, after: Any, marks: Any, at: Any, row: Any,
        constants: Any,
    ) -> Any:  # fmt: skip
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            def start(array: int, place: int) -> ir.Value:
                kind = signature.args[array]
                data = context.make_array(kind)(context, builder, value=arguments[array]).data
                return builder.gep(data, [arguments[place]])

            fixed = cgutils.unpack_tuple(builder, arguments[11], len(constants))
            size = after.dtype.bitwidth // 8
            panels, places = (start(1, 2), start(3, 4)), (start(6, 9), start(7, 9), start(8, 9))
            for n, step in enumerate(single if size == 4 else double):
                with builder.if_then(builder.icmp_signed("==", arguments[0], ir.Constant(arguments[0].type, n))):
                    _emit(builder, step, size, panels, arguments[5], places, arguments[10], fixed)
            return context.get_dummy_value()

        whole = types.int64
        return types.void(whole, a, whole, b, whole, whole, before, after, marks, whole, whole, constants), emit

    return tile


def _emit(
    builder: ir.IRBuilder,
    step: Step,
    size: int,
    panels: tuple[ir.Value, ir.Value],
    count: ir.Value,
    places: tuple[ir.Value, ir.Value, ir.Value],
    row: ir.Value,
    constants: Sequence[ir.Value],
) -> None:
    lanes = columns_of(size)
    vector = ir.VectorType(ir.FloatType() if size == 4 else ir.DoubleType(), lanes)
    whole = ir.VectorType(ir.IntType(8 * size), lanes)

    def number(value: int) -> ir.Value:
        return ir.Constant(count.type, value)

    def at(base: ir.Value, r: int, kind: ir.Type) -> ir.Value:
        return builder.bitcast(builder.gep(base, [builder.mul(row, number(r))]), kind.as_pointer())

    before, after, marks = places
    starts = [p for r in range(ROWS) for p in (at(before, r, vector), at(marks, r, whole))]
    ends = [p for r in range(ROWS) for p in (at(after, r, vector), at(marks, r, whole))]
    spread = [splat(builder, c, lanes) for c in constants]
    first = [builder.load(place, align=size) for place in starts]
    entry, body, done = builder.block, builder.append_basic_block("steps"), builder.append_basic_block("stepped")
    builder.branch(body)

    builder.position_at_end(body)
    k = builder.phi(count.type)
    held = [builder.phi(value.type) for value in first]
    a_k = builder.gep(panels[0], [builder.mul(k, number(ROWS))])
    b_k = builder.gep(panels[1], [builder.mul(k, number(lanes))])
    y = builder.load(builder.bitcast(b_k, vector.as_pointer()), align=size)
    stepped: list[ir.Value] = []
    for r in range(ROWS):
        x = splat(builder, builder.load(builder.gep(a_k, [number(r)]), align=size), lanes)
        stepped += step(builder, held[2 * r], held[2 * r + 1], x, y, spread)
    following = builder.add(k, number(1))
    last = builder.block
    for phi, old, new in zip([k, *held], [number(0), *first], [following, *stepped], strict=True):
        phi.add_incoming(old, entry)
        phi.add_incoming(new, last)
    builder.cbranch(builder.icmp_signed("<", following, count), body, done)

    builder.position_at_end(done)
    for place, value in zip(ends, stepped, strict=True):
        builder.store(value, place, align=size)


def splat(builder: ir.IRBuilder, value: ir.Value, lanes: int) -> Vector:
    """A number in every lane."""
    places = ir.VectorType(ir.IntType(32), lanes)
    one = builder.insert_element(
        ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined), value, ir.Constant(places.element, 0)
    )
    return builder.shuffle_vector(one, one, ir.Constant(places, [0] * lanes))
