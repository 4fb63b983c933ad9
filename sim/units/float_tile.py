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
    return _through_half(builder, call(builder, "fma", a, b, sums)), marks


def _half_odd(
    builder: ir.IRBuilder, sums: Vector, marks: Vector, a: Vector, b: Vector, constants: Sequence[Vector]
) -> tuple[Vector, Vector]:
    """As :func:`_half`, rounded to odd first."""
    return _through_half(builder, _odd_sum(builder, sums, marks, a, b)), marks


def _through_half(builder: ir.IRBuilder, value: Vector) -> Vector:
    half = ir.VectorType(ir.HalfType(), value.type.count)
    return builder.fpext(builder.fptrunc(value, half), value.type)


def _deep(
    builder: ir.IRBuilder, sums: Vector, marks: Vector, a: Vector, b: Vector, constants: Sequence[Vector]
) -> tuple[Vector, Vector]:
    """To a format so deep and so high that no sum underflows or overflows; then none is a negative zero either."""
    return _to_deep_format(builder, call(builder, "fma", a, b, sums), marks, constants), marks


def _shallow(
    builder: ir.IRBuilder, sums: Vector, marks: Vector, a: Vector, b: Vector, constants: Sequence[Vector]
) -> tuple[Vector, Vector]:
    """To any format; beyond its largest number a sum becomes infinite, and stays so."""
    return _to_format(builder, call(builder, "fma", a, b, sums), marks, constants), marks


def _saturate(
    builder: ir.IRBuilder, sums: Vector, marks: Vector, a: Vector, b: Vector, constants: Sequence[Vector]
) -> tuple[Vector, Vector]:
    """To any format, of finite numbers; a sum stays at the largest, and marks say where one was ever beyond it."""
    return _to_largest(builder, call(builder, "fma", a, b, sums), marks, constants)


def _odd(
    builder: ir.IRBuilder, sums: Vector, marks: Vector, a: Vector, b: Vector, constants: Sequence[Vector]
) -> tuple[Vector, Vector]:
    """As :func:`_shallow`, rounded to odd first."""
    return _to_format(builder, _odd_sum(builder, sums, marks, a, b), marks, constants), marks


def _saturate_odd(
    builder: ir.IRBuilder, sums: Vector, marks: Vector, a: Vector, b: Vector, constants: Sequence[Vector]
) -> tuple[Vector, Vector]:
    """As :func:`_saturate`, rounded to odd first."""
    return _to_largest(builder, _odd_sum(builder, sums, marks, a, b), marks, constants)


def _any(
    builder: ir.IRBuilder, sums: Vector, marks: Vector, a: Vector, b: Vector, constants: Sequence[Vector]
) -> tuple[Vector, Vector]:
    """As :func:`_saturate_odd`, of any numbers: infinite ones are kept."""
    value = _odd_sum(builder, sums, marks, a, b)
    kept, marks = _to_largest(builder, value, marks, constants)
    finite = builder.fcmp_ordered("<", call(builder, "fabs", value), _same(value.type, float("inf")))
    return builder.select(finite, kept, value), marks


def _deep_odd(
    builder: ir.IRBuilder, sums: Vector, marks: Vector, a: Vector, b: Vector, constants: Sequence[Vector]
) -> tuple[Vector, Vector]:
    """As :func:`_deep`, rounded to odd first."""
    return _to_deep_format(builder, _odd_sum(builder, sums, marks, a, b), marks, constants), marks


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
    return _any_by_chance(builder, _odd_sum(builder, sums, marks, a, b), marks, constants)


def _any_by_chance(
    builder: ir.IRBuilder, total: Vector, marks: Vector, constants: Sequence[Vector]
) -> tuple[Vector, Vector]:
    _, lowest, _, largest, beyond, _, shift = constants
    size = call(builder, "fabs", total)
    # Below the normal range the smallest normal number is added, which has the gap of the subnormals.
    lift = builder.select(builder.fcmp_ordered("<", size, lowest), lowest, _same(total.type, 0.0))
    near = builder.fsub(_cut_by_chance(builder, builder.fadd(size, lift), marks, shift), lift)
    near = builder.select(builder.fcmp_ordered("<=", near, largest), near, beyond)
    return call(builder, "copysign", near, total), builder.add(marks, _same(marks.type, STEP))


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
    near = _cut_by_chance(builder, _odd_sum(builder, sums, marks, a, b), marks, constants[6])
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


def _to_format(builder: ir.IRBuilder, value: Vector, marks: Vector, constants: Sequence[Vector]) -> Vector:
    """``host_floats.rounded`` without saturation, lane by lane."""
    _, _, _, largest, beyond, _, _ = constants
    near = _to_places(builder, value, marks, constants)
    over = builder.fcmp_ordered(">", call(builder, "fabs", near), largest)
    return call(builder, "copysign", builder.select(over, beyond, near), value)


def _to_largest(
    builder: ir.IRBuilder, value: Vector, marks: Vector, constants: Sequence[Vector]
) -> tuple[Vector, Vector]:
    """``host_floats.rounded`` with saturation, of finite numbers, lane by lane."""
    _, _, _, largest, _, _, _ = constants
    size = call(builder, "fabs", _to_places(builder, value, marks, constants))
    over = builder.fcmp_ordered(">", size, largest)
    kept = call(builder, "copysign", builder.select(over, largest, size), value)
    return kept, builder.or_(marks, builder.sext(over, marks.type))


def _to_places(builder: ir.IRBuilder, value: Vector, marks: Vector, constants: Sequence[Vector]) -> Vector:
    """A number rounded to as many places as the format has there, whatever its largest number; zeros lose their sign.

    The exponent of an infinity makes a magic number that is finite, and so changes nothing.
    """
    _, lowest, _, _, _, pattern, _ = constants
    power = builder.bitcast(_exponent(builder, value, marks), value.type)
    power = builder.select(builder.fcmp_ordered(">", power, lowest), power, lowest)
    magic = builder.add(builder.bitcast(power, marks.type), builder.bitcast(pattern, marks.type))
    magic = builder.bitcast(magic, value.type)
    return builder.fsub(builder.fadd(value, magic), magic)


def _to_deep_format(builder: ir.IRBuilder, value: Vector, marks: Vector, constants: Sequence[Vector]) -> Vector:
    power = _exponent(builder, value, marks)
    magic = builder.bitcast(builder.add(power, builder.bitcast(constants[5], marks.type)), value.type)
    return builder.fsub(builder.fadd(value, magic), magic)


def _odd_sum(builder: ir.IRBuilder, sums: Vector, marks: Vector, a: Vector, b: Vector) -> Vector:
    """``host_floats.odd_sum`` of a product, exact in the lanes' format, and a sum; lane by lane."""
    whole = marks.type
    total = call(builder, "fma", a, b, sums)
    part = builder.fsub(total, sums)
    error = builder.fadd(call(builder, "fma", a, b, builder.fneg(part)), builder.fsub(sums, builder.fsub(total, part)))
    # Cut towards zero, and a one put last: of two neighbours about a sum, that is the odd one.
    pattern = builder.bitcast(total, whole)
    signs = builder.xor(builder.bitcast(error, whole), pattern)
    cut = builder.add(pattern, builder.ashr(signs, _same(whole, whole.element.width - 1)))
    inexact = builder.fcmp_ordered("!=", error, _same(total.type, 0.0))
    return builder.bitcast(builder.select(inexact, builder.or_(cut, _same(whole, 1)), pattern), total.type)


SHALLOW, DEEP, SATURATE, ODD, DEEP_ODD, SATURATE_ODD, ANY = range(7)
FUSED, HALF, HALF_ODD = range(7, 10)
CHANCE, ODD_CHANCE, DEEP_CHANCE, DEEP_ODD_CHANCE = range(7, 11)
MARKED = (SATURATE, SATURATE_ODD, ANY)
_BOTH: tuple[Step, ...] = (_shallow, _deep, _saturate, _odd, _deep_odd, _saturate_odd, _any)
SINGLE: tuple[Step, ...] = (*_BOTH, _fused, _half, _half_odd)
DOUBLE: tuple[Step, ...] = (*_BOTH, _chance, _odd_chance, _deep_chance, _deep_odd_chance)
float_tile = tile_of(SINGLE, DOUBLE)
"""Kinds of step: on sums of both types the first seven; of single precision those of the host's own formats; of double
those by chance. Those of MARKED leave marks of sums that were too large."""
