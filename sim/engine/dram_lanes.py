"""Small integers of every bank side by side, so that a processor looks at sixteen of them at once.

Which bank can be opened, or read, first is asked for every request. To go from candidate to candidate costs a
wrong guess each time of where that ends; to look at all of them, in vector registers, does not. Lanes are the 32-bit
halves of the words of an int64 array, ``LANES`` a chunk; chunk c holds banks from ``LANES * c`` on. Each
holds a key: a clock after some base and, below it, a place in a queue (7 bits); of equal clocks the oldest request's
is least, for places are in the order of age. Masks are words, one bit a bank.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 16
_BITS = 4
_WORDS = LANES // 2
PLACE_BITS = 7
PLACES = (1 << PLACE_BITS) - 1
"""The bits of a key that are a place."""
NO_KEY = (1 << 31) - 1
"""More than any key."""
NO_GAP = -(1 << 23)
"""The gap of lanes that are not to be raised."""

_WORD, _HALF, _MASK = ir.IntType(64), ir.IntType(32), ir.IntType(LANES)
_VECTOR = ir.VectorType(_HALF, LANES)
_FLAGS = ir.VectorType(ir.IntType(1), LANES)


def _pointer(context: Any, builder: Any, kind: Any, array: Any, word: Any, chunk: Any) -> Any:
    """Address of a chunk of the lanes that begin at ``word``."""
    data = context.make_array(kind)(context, builder, value=array).data
    at = builder.add(word, builder.mul(chunk, ir.Constant(_WORD, _WORDS)))
    return builder.bitcast(builder.gep(data, [at]), _VECTOR.as_pointer())


def _lane(context: Any, builder: Any, kind: Any, array: Any, word: Any, lane: Any) -> Any:
    """Address of one lane."""
    data = context.make_array(kind)(context, builder, value=array).data
    return builder.gep(builder.bitcast(builder.gep(data, [word]), _HALF.as_pointer()), [lane])


def _everywhere(builder: Any, value: Any) -> Any:
    """A word's low half in every lane."""
    one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), builder.trunc(value, _HALF), ir.Constant(_HALF, 0))
    return builder.shuffle_vector(one, ir.Constant(_VECTOR, ir.Undefined), ir.Constant(_VECTOR, [0] * LANES))


def _flags(builder: Any, mask: Any, chunk: Any) -> Any:
    """A mask's bits of a chunk, one a lane."""
    shift = builder.shl(chunk, ir.Constant(_WORD, _BITS))
    return builder.bitcast(builder.trunc(builder.lshr(mask, shift), _MASK), _FLAGS)


def _of_two(builder: Any, name: str, left: Any, right: Any) -> Any:
    """LLVM's smax or smin of two vectors."""
    kind = ir.FunctionType(_VECTOR, [_VECTOR, _VECTOR])
    return builder.call(builder.module.declare_intrinsic(f"llvm.{name}.v{LANES}i32", (), kind), [left, right])


def _clock(builder: Any, value: Any) -> Any:
    """A clock in every lane, at place 0."""
    return _everywhere(builder, builder.shl(value, ir.Constant(_WORD, PLACE_BITS)))


def _constant(number: int) -> Any:
    return ir.Constant(_VECTOR, [number] * LANES)


def _raised(context: Any, builder: Any, kind: Any, array: Any, word: Any, chunk: Any, pairs: Any) -> Any:
    """Make a chunk's clocks no less than a clock and its gap, of each pair; return the lanes."""
    at = _pointer(context, builder, kind, array, word, chunk)
    new = builder.load(at, align=8)
    place = builder.and_(new, _constant(PLACES))
    for clock, gaps in pairs:
        gap = builder.load(_pointer(context, builder, kind, array, gaps, chunk), align=8)
        # Of equal places, the greater lane has the greater clock.
        least = builder.or_(builder.add(_clock(builder, clock), gap), place)
        new = _of_two(builder, "smax", new, least)
    if pairs:
        builder.store(new, at, align=8)
    return new


def _for_others(builder: Any, chunks: Any, do: Any) -> None:
    """Emit ``do`` for each chunk but the first.

    Spelled out, for the compiler would unroll a loop of unknown length behind tests of that length. Banks are a
    power of two: there are 1, 2 or 4 chunks.
    """
    with builder.if_then(builder.icmp_signed(">", chunks, ir.Constant(_WORD, 1)), likely=False):
        do(ir.Constant(_WORD, 1))
        with builder.if_then(builder.icmp_signed(">", chunks, ir.Constant(_WORD, 2)), likely=False):
            do(ir.Constant(_WORD, 2))
            do(ir.Constant(_WORD, 3))


def _least(context: Any, builder: Any, kind: Any, array: Any, word: Any, chunks: Any, pairs: Any, mask: Any) -> Any:
    """Raise all chunks; return the least key of the lanes of a mask."""

    def keys(chunk: Any) -> Any:
        lanes = _raised(context, builder, kind, array, word, chunk, pairs)
        return builder.select(_flags(builder, mask, chunk), lanes, _constant(NO_KEY))

    best = cgutils.alloca_once_value(builder, keys(ir.Constant(_WORD, 0)))

    def look(chunk: Any) -> None:
        builder.store(_of_two(builder, "smin", builder.load(best), keys(chunk)), best)

    _for_others(builder, chunks, look)
    kind = ir.FunctionType(_HALF, [_VECTOR])
    reduce = builder.module.declare_intrinsic(f"llvm.vector.reduce.smin.v{LANES}i32", (), kind)
    return builder.sext(builder.call(reduce, [builder.load(best)]), _WORD)


@intrinsic  # type: ignore[untyped-decorator]
def least_key(typing: Any, array: Any, word: Any, chunks: Any, mask: Any) -> Any:
    """The least of the keys of the lanes of a mask: clock and place; of no lanes: ``NO_KEY``."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, word, chunks, mask = arguments
        return _least(context, builder, signature.args[0], array, word, chunks, [], mask)

    return types.int64(array, *[types.int64] * 3), emit


@intrinsic  # type: ignore[untyped-decorator]
def raise_lanes(typing: Any, array: Any, word: Any, chunks: Any, clock: Any, gaps: Any) -> Any:
    """All clocks become no less than ``clock`` and a gap; ``gaps``: the word where the lanes of those begin."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, word, chunks, clock, gaps = arguments

        def lift(chunk: Any) -> None:
            _raised(context, builder, signature.args[0], array, word, chunk, [(clock, gaps)])

        lift(ir.Constant(_WORD, 0))
        _for_others(builder, chunks, lift)
        return context.get_dummy_value()

    return types.void(array, *[types.int64] * 4), emit


@intrinsic  # type: ignore[untyped-decorator]
def raise_and_least(typing: Any, array: Any, word: Any, chunks: Any, clock: Any, gaps: Any, mask: Any) -> Any:
    """:func:`raise_lanes`, then :func:`least_key`."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, word, chunks, clock, gaps, mask = arguments
        return _least(context, builder, signature.args[0], array, word, chunks, [(clock, gaps)], mask)

    return types.int64(array, *[types.int64] * 5), emit


@intrinsic  # type: ignore[untyped-decorator]
def raise_twice_and_least(
    typing: Any, array: Any, word: Any, chunks: Any, clock: Any, gaps: Any, second: Any, second_gaps: Any,
    mask: Any,
) -> Any:  # fmt: skip
    """:func:`raise_lanes` by two clocks, then :func:`least_key`."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, word, chunks, *pairs, mask = arguments
        pairs = [pairs[:2], pairs[2:]]
        return _least(context, builder, signature.args[0], array, word, chunks, pairs, mask)

    return types.int64(array, *[types.int64] * 7), emit


@intrinsic  # type: ignore[untyped-decorator]
def enter_lane(typing: Any, array: Any, word: Any, lane: Any, wanted: Any, clock: Any, place: Any) -> Any:
    """Where ``wanted`` is 1, not 0, a lane's clock becomes no less than ``clock`` and its place ``place``.

    Return the lane's key then, or what it would be. What is not wanted goes to the half word before the lanes.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, word, lane, wanted, clock, place = arguments
        at = _lane(context, builder, signature.args[0], array, word, lane)
        old = builder.load(at, align=4)
        kind = ir.FunctionType(_HALF, [_HALF, _HALF])
        least = builder.trunc(builder.shl(clock, ir.Constant(_WORD, PLACE_BITS)), _HALF)
        larger = builder.module.declare_intrinsic("llvm.smax.i32", (), kind)
        clocks = builder.call(larger, [builder.and_(old, ir.Constant(_HALF, ~PLACES)), least])
        new = builder.or_(clocks, builder.trunc(place, _HALF))
        # Were the old one stored again, who next loads the chunk would wait for it.
        nowhere = _lane(context, builder, signature.args[0], array, word, ir.Constant(_WORD, -1))
        builder.store(new, builder.select(builder.trunc(wanted, ir.IntType(1)), at, nowhere), align=4)
        return builder.sext(new, _WORD)

    return types.int64(array, *[types.int64] * 5), emit


@intrinsic  # type: ignore[untyped-decorator]
def set_lane(typing: Any, array: Any, word: Any, lane: Any, key: Any) -> Any:
    """A lane's key becomes ``key``."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, word, lane, key = arguments
        at = _lane(context, builder, signature.args[0], array, word, lane)
        builder.store(builder.trunc(key, _HALF), at, align=4)
        return context.get_dummy_value()

    return types.void(array, *[types.int64] * 3), emit
