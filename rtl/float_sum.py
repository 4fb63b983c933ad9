"""The sum of two floating-point numbers in hardware, in parts between which a unit may put registers.

Both numbers are on the scale of the sum's format, at least one has as many bits as that format, and only
numbers with an exponent of 1 or less have leading zeros.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Value

from siloom.rtl.barrel import barrel_right, named
from siloom.rtl.floats import Number, limit, normalise_within, round_even, unpack
from siloom.rtl.spread import ADD, SHIFT
from siloom.sim.contract import Float

Logic = Callable[[Module, Any], Any]
"""From what the logic before gives to what the next takes."""


@dataclass(frozen=True)
class Aligned:
    """Two numbers at the larger exponent: ``large``, and the significand of the other, with a sticky bit below."""

    large: Number
    small: Any
    opposed: Any


@dataclass(frozen=True)
class Added:
    """A sum that is not yet in place, and the mark that its leading one must not pass."""

    number: Number
    mark: Any


def align(m: Module, a: Number, b: Number) -> Aligned:
    """Shift the number with the smaller exponent down to the other.

    Two bits below the longer significand and a sticky bit are enough: a difference loses more than one
    leading bit only where the shift was at most one, and then nothing was shifted out.
    """
    bits = max(len(a.significand), len(b.significand)) + 2
    up, down = (Cat(Const(0, bits - len(n.significand)), n.significand) for n in (a, b))
    ahead = named(m, a.exponent - b.exponent, "ahead")
    behind = named(m, (b.exponent - a.exponent)[: len(ahead) - 1], "behind")
    swap = ahead[-1]
    shift = named(m, Mux(swap, behind, ahead[:-1]), "shift")
    small, lost = barrel_right(m, named(m, Mux(swap, up, down), "smaller"), shift)
    opposed, infinite = named(m, a.negative ^ b.negative, "opposed"), named(m, a.infinite | b.infinite, "infinite")
    large = Number(
        significand=named(m, Mux(swap, down, up), "larger"),
        exponent=named(m, Mux(swap, b.exponent, a.exponent)[: _bits_above_zero(a, b)], "exponent"),
        # Of an infinity, its sign; else that of the number with the larger exponent.
        negative=Mux(Mux(infinite, a.infinite, ~swap), a.negative, b.negative),
        infinite=infinite,
        nan=a.nan | b.nan | (a.infinite & b.infinite & opposed),
        bias=a.bias,
    )
    return Aligned(large, Cat(lost, small), opposed)


def add(m: Module, aligned: Aligned) -> Added:
    """The sum or difference of the significands, with a bit more for the carry."""
    large, small = aligned.large, aligned.small
    fine = Cat(Const(0, 1), large.significand)
    total, difference = named(m, fine + small, "total"), named(m, fine - small, "difference")
    # Beside the difference, so as not to wait for its sign.
    opposite = named(m, (small - fine)[: len(fine)], "opposite")
    below = difference[-1]
    size = named(m, Mux(aligned.opposed, Mux(below, opposite, difference[:-1]), total), "size")
    # A sum that is zero because two numbers cancel is positive.
    differs = named(m, large.negative ^ below, "differs") & size.any()
    negative = Mux(aligned.opposed & ~large.infinite, differs, large.negative)
    number = replace(large, significand=size, exponent=named(m, large.exponent + 1, "exponent"), negative=negative)
    return Added(number, limit(m, len(size) - 1, large.exponent))


def adder(form: Float, saturate: bool) -> list[tuple[Logic, int]]:
    """The parts of a sum in a format, with their depths: the first takes a pair of numbers, the last gives the code."""
    return [
        (lambda m, pair: align(m, *pair), ADD + SHIFT),
        (add, ADD),
        (lambda m, added: normalise_within(m, added.number, added.mark), ADD + SHIFT),
        (lambda m, number: round_even(m, number, form, saturate), ADD),
    ]


def sum_of_codes(m: Module, a: Any, b: Any, form: Float, saturate: bool) -> Any:
    """The code of the sum of two numbers of one format, rounded once."""
    value: Any = (unpack(m, a, form), unpack(m, b, form))
    for logic, _ in adder(form, saturate):
        value = logic(m, value)
    return value


def _bits_above_zero(*numbers: Number) -> int:
    """Bits that hold every exponent of at least 0."""
    shapes = [Value.cast(n.exponent).shape() for n in numbers]
    return int(max(shape.width - shape.signed for shape in shapes))
