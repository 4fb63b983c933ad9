"""Steps of floating-point units on whole vectors of sums: what ``register_tile`` repeats for every k.

Every step is ``fp_mac``'s: an exact product, one rounding of the sum. ``host_floats`` says why these instructions give
the same bits and under which conditions; ``float_gemm`` chooses the step that holds and costs least.

Constants of all: the five of :data:`host_floats.Rounding`; then two patterns of whole numbers, held as a float: what
makes the exponent of a sum the magic number, and by how many places chance is shifted.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from siloom.sim.units.chance import CHANCE_BITS, FOLDS, MIXERS, STEP
from siloom.sim.units.int_tile import call
from siloom.sim.units.register_tile import Step, Vector, tile_of


def _same(kind: ir.VectorType, value: float) -> Vector:
    return ir.Constant(kind, [value] * kind.count)


def _exponent(builder: ir.IRBuilder, value: Vector, marks: Vector) -> Vector:
    """The pattern of a number's power of two."""
    mask = 0x7F80_0000 if marks.type.element.width == 32 else 0x7FF0_0000_0000_0000
    return builder.and_(builder.bitcast(value, marks.type), _same(marks.type, mask))


def _fused(
    builder: ir.IRBuilder, sums: Vector, marks: Vector, a: Vector, b: Vector, constants: Sequence[Vector]
) -> tuple[Vector, Vector]:
    """One rounding to the lanes' own format."""
    return call(builder, "fma", a, b, sums), marks


def _half(
    builder: ir.IRBuilder, sums: Vector, marks: Vector, a: Vector, b: Vector, constants: Sequence[Vector]
) -> tuple[Vector, Vector]:
    """To half precision and back, by the host's conversions."""
    exact = call(builder, "fma", a, b, sums)
    return builder.fpext(builder.fptrunc(exact, ir.VectorType(ir.HalfType(), exact.type.count)), exact.type), marks


def _deep(
    builder: ir.IRBuilder, sums: Vector, marks: Vector, a: Vector, b: Vector, constants: Sequence[Vector]
) -> tuple[Vector, Vector]:
    """To a format so deep and so high that no sum underflows or overflows; then none is a negative zero either."""
    exact = call(builder, "fma", a, b, sums)
    magic = builder.bitcast(
        builder.add(_exponent(builder, exact, marks), builder.bitcast(constants[5], marks.type)), exact.type
    )
    return builder.fsub(builder.fadd(exact, magic), magic), marks


def _shallow(
    builder: ir.IRBuilder, sums: Vector, marks: Vector, a: Vector, b: Vector, constants: Sequence[Vector]
) -> tuple[Vector, Vector]:
    """To any format; marks say where a sum was ever beyond its largest number."""
    return _to_format(builder, call(builder, "fma", a, b, sums), marks, constants)


def _odd(
    builder: ir.IRBuilder, sums: Vector, marks: Vector, a: Vector, b: Vector, constants: Sequence[Vector]
) -> tuple[Vector, Vector]:
    """As :func:`_shallow`, rounded to odd first."""
    return _to_format(builder, _odd_sum(builder, builder.fmul(a, b), sums, marks), marks, constants)


def _chance(
    builder: ir.IRBuilder, sums: Vector, marks: Vector, a: Vector, b: Vector, constants: Sequence[Vector]
) -> tuple[Vector, Vector]:
    """By chance to one of both neighbours in any format, of sums that are exact in the lanes' format.

    Marks are the words that chance is mixed from.
    """
    return _any_by_chance(builder, call(builder, "fma", a, b, sums), marks, constants)


def _odd_chance(
    builder: ir.IRBuilder, sums: Vector, marks: Vector, a: Vector, b: Vector, constants: Sequence[Vector]
) -> tuple[Vector, Vector]:
    """As :func:`_chance`, of any sums."""
    return _any_by_chance(builder, _odd_sum(builder, builder.fmul(a, b), sums, marks), marks, constants)


def _any_by_chance(
    builder: ir.IRBuilder, total: Vector, marks: Vector, constants: Sequence[Vector]
) -> tuple[Vector, Vector]:
    _, lowest, _, largest, beyond, _, shift = constants
    size = call(builder, "fabs", total)
    # Below the normal range the smallest normal number is added, which has the gap of the subnormals.
    lift = builder.select(builder.fcmp_ordered("<", size, lowest), lowest, _same(total.type, 0.0))
    near = builder.fsub(_cut_by_chance(builder, builder.fadd(size, lift), marks, shift), lift)
    near = builder.select(builder.fcmp_ordered("<=", near, largest), near, beyond)
    infinite = builder.fcmp_ordered("==", size, _same(total.type, float("inf")))
    near = call(builder, "copysign", builder.select(infinite, size, near), total)
    return near, builder.add(marks, _same(marks.type, STEP))


def _deep_chance(
    builder: ir.IRBuilder, sums: Vector, marks: Vector, a: Vector, b: Vector, constants: Sequence[Vector]
) -> tuple[Vector, Vector]:
    """As :func:`_chance`, to a format as of :func:`_deep`, of sums that are exact in the lanes' format."""
    near = _cut_by_chance(builder, call(builder, "fma", a, b, sums), marks, constants[6])
    return near, builder.add(marks, _same(marks.type, STEP))


def _deep_odd_chance(
    builder: ir.IRBuilder, sums: Vector, marks: Vector, a: Vector, b: Vector, constants: Sequence[Vector]
) -> tuple[Vector, Vector]:
    """As :func:`_deep_chance`, of any sums."""
    near = _cut_by_chance(builder, _odd_sum(builder, builder.fmul(a, b), sums, marks), marks, constants[6])
    return near, builder.add(marks, _same(marks.type, STEP))


def _cut_by_chance(builder: ir.IRBuilder, value: Vector, marks: Vector, shift: Vector) -> Vector:
    """The pattern's places below the last one cut off, once chance is added to the highest of them."""
    whole = marks.type
    word = marks
    for fold, mixer in zip(FOLDS, MIXERS, strict=False):
        word = builder.xor(word, builder.lshr(word, _same(whole, fold)))
        word = builder.mul(word, _same(whole, mixer))
    word = builder.xor(word, builder.lshr(word, _same(whole, FOLDS[-1])))
    places = builder.bitcast(shift, whole)
    bits = builder.shl(builder.lshr(word, _same(whole, 64 - CHANCE_BITS)), places)
    kept = builder.shl(_same(whole, -1), builder.add(places, _same(whole, CHANCE_BITS)))
    return builder.bitcast(builder.and_(builder.add(builder.bitcast(value, whole), bits), kept), value.type)


def _to_format(
    builder: ir.IRBuilder, value: Vector, marks: Vector, constants: Sequence[Vector]
) -> tuple[Vector, Vector]:
    """``host_floats.rounded``, lane by lane."""
    factor, lowest, highest, largest, beyond = constants[:5]
    power = builder.bitcast(_exponent(builder, value, marks), value.type)
    power = builder.select(builder.fcmp_ordered(">", power, lowest), power, lowest)
    power = builder.select(builder.fcmp_ordered("<", power, highest), power, highest)
    magic = builder.fmul(power, factor)
    near = builder.fsub(builder.fadd(value, magic), magic)
    size = call(builder, "fabs", near)
    over = builder.fcmp_ordered(">", size, largest)
    finite = builder.fcmp_ordered("<", size, _same(value.type, float("inf")))
    near = builder.select(builder.and_(over, finite), beyond, near)
    return call(builder, "copysign", near, value), builder.or_(marks, builder.sext(over, marks.type))


def _odd_sum(builder: ir.IRBuilder, x: Vector, y: Vector, marks: Vector) -> Vector:
    """``host_floats.odd_sum``, lane by lane."""
    whole, zero = marks.type, _same(x.type, 0.0)
    total = builder.fadd(x, y)
    part = builder.fsub(total, x)
    error = builder.fadd(builder.fsub(x, builder.fsub(total, part)), builder.fsub(y, part))
    pattern = builder.bitcast(total, whole)
    outward = builder.icmp_signed("==", builder.fcmp_ordered(">", error, zero), builder.fcmp_ordered(">", total, zero))
    even = builder.icmp_signed("==", builder.and_(pattern, _same(whole, 1)), _same(whole, 0))
    moved = builder.add(pattern, builder.select(outward, _same(whole, 1), _same(whole, -1)))
    chosen = builder.and_(builder.fcmp_ordered("!=", error, zero), even)
    return builder.bitcast(builder.select(chosen, moved, pattern), x.type)


SHALLOW, DEEP, FUSED, HALF = range(4)
ODD, CHANCE, ODD_CHANCE, DEEP_CHANCE, DEEP_ODD_CHANCE = range(2, 7)
SINGLE: tuple[Step, ...] = (_shallow, _deep, _fused, _half)
DOUBLE: tuple[Step, ...] = (_shallow, _deep, _odd, _chance, _odd_chance, _deep_chance, _deep_odd_chance)
float_tile = tile_of(SINGLE, DOUBLE)
"""Kinds of step, on sums of single precision: SHALLOW, DEEP, FUSED, HALF; of double: SHALLOW, DEEP, ODD and those by
chance."""
