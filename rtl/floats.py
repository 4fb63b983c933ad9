"""Floating-point numbers in hardware: taken out of their codes, multiplied, put in place, rounded.

The same arithmetic as ``sim/units/floats``, which says what holds for subnormals, infinities, NaNs and
signs. Every function is combinational, and a unit may put registers after any of them. Sums stand in
``float_sum``.

Numbers are on a *scale*, the bias of a format: constants are added to exponents only where a number moves from
one scale to another, and the exponent field of a code is used as it is. On the scale of their format subnormals
have exponent 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux

from siloom.rtl.barrel import barrel_left, barrel_right, leading_zeros, named
from siloom.sim.contract import Float


@dataclass(frozen=True)
class Number:
    """A number out of its code, as Amaranth values.

    Where it is neither ``infinite`` nor ``nan``, its size is ``significand``, with one bit before the point, times
    two to the power of ``exponent - bias``.
    """

    significand: Any
    exponent: Any
    negative: Any
    infinite: Any
    nan: Any
    bias: int


def unpack(m: Module, code: Any, form: Float) -> Number:
    """The number that a code stands for."""
    code = named(m, code, "unpacked")
    mantissa, field = code[: form.mantissa_bits], code[form.mantissa_bits : -1]
    normal, top = named(m, field.any(), "normal"), named(m, field.all(), "highest")
    special = top & mantissa.all() if form.finite else top
    return Number(
        significand=Cat(mantissa, normal),
        exponent=Cat(named(m, field[0] | ~normal, "lowest"), field[1:]),
        negative=code[-1],
        infinite=Const(0, 1) if form.finite else special & ~mantissa.any(),
        nan=special if form.finite else special & mantissa.any(),
        bias=form.bias,
    )


def multiply(m: Module, a: Number, b: Number, significand: Any = None) -> Number:
    """The exact product; a unit that multiplies significands in steps gives their product itself."""
    nothing = (a.infinite & ~b.significand.any()) | (b.infinite & ~a.significand.any())
    return Number(
        significand=named(m, a.significand * b.significand if significand is None else significand, "product"),
        exponent=named(m, a.exponent + b.exponent, "exponent"),
        negative=a.negative ^ b.negative,
        infinite=a.infinite | b.infinite,
        nan=a.nan | b.nan | nothing,
        # A product of significands has two bits before the point, of which one belongs to the exponent.
        bias=a.bias + b.bias - 1,
    )


def rescale(m: Module, number: Number, form: Float) -> Number:
    """The same number on the scale of a format."""
    exponent = named(m, number.exponent + (form.bias - number.bias), "exponent")
    return replace(number, exponent=exponent, bias=form.bias)


def normalise(m: Module, number: Number) -> Number:
    """The same number with a leading one, however small its exponent becomes; zero gets exponent 1."""
    zeros = leading_zeros(m, number.significand[1:])
    significand = barrel_left(m, number.significand, zeros)
    exponent = named(m, Mux(significand[-1], number.exponent - zeros, 1), "exponent")
    return replace(number, significand=significand, exponent=exponent)


def limit(m: Module, bits: int, room: Any) -> Any:
    """A mark for :func:`normalise_within`: where the leading one is after the largest shift, ``room``.

    It is made beside the significand, so that the shift does not wait for a comparison of exponents. No shift is
    larger than ``bits``, the width of the mark.
    """
    return barrel_right(m, Const(1 << (bits - 1), bits), room)[0]


def normalise_within(m: Module, number: Number, mark: Any) -> Number:
    """The same number shifted up to a leading one, or as far as the mark says."""
    zeros = leading_zeros(m, named(m, number.significand[-len(mark) :] | mark, "within"))
    exponent = named(m, number.exponent - zeros, "exponent")
    return replace(number, significand=barrel_left(m, number.significand, zeros), exponent=exponent)


def lower(m: Module, number: Number) -> tuple[Number, Any]:
    """The number with an exponent of at least 1, where it is below shifted down; and whether a one was shifted out."""
    below = named(m, number.exponent < 1, "below")
    down = named(m, Mux(below, 1 - number.exponent, 0)[: len(number.exponent)], "down")
    significand, lost = barrel_right(m, number.significand, down)
    exponent = named(m, Mux(below, 1, number.exponent[: len(number.exponent) - 1]), "exponent")
    return replace(number, significand=significand, exponent=exponent), lost


def settle(m: Module, number: Number) -> Number:
    """The same, whose lowest bit says also whether a one was shifted out: good for one rounding further up."""
    lowered, lost = lower(m, number)
    return replace(lowered, significand=Cat(lowered.significand[0] | lost, lowered.significand[1:]))


def round_even(m: Module, number: Number, form: Float, saturate: bool) -> Any:
    """The nearest code, ties to even, of a number with a leading one or exponent 1."""
    bits = form.mantissa_bits + 1
    kept, rest = number.significand[-bits:], number.significand[:-bits]
    up = rest[-1] & (rest[:-1].any() | kept[0]) if len(rest) else Const(0, 1)
    return judge(m, number, named(m, pattern(number.exponent, kept) + up, "pattern"), form, saturate)


def pattern(exponent: Any, kept: Any) -> Any:
    """Exponent and mantissa of a code, for a significand that is cut to the format's bits, or beyond.

    One more in the last place is the next number, though the mantissa may carry into the exponent: it is then the next
    binade, or the first normal number.
    """
    return Cat(kept[:-1], Mux(kept[-1], exponent, 0)[: len(exponent)])


def judge(m: Module, number: Number, found: Any, form: Float, saturate: bool) -> Any:
    """The code of a number, for the rounded pattern of a finite one: what is beyond the largest is replaced."""
    infinity = ((1 << form.exponent_bits) - 1) << form.mantissa_bits
    nan = form.largest + 1 if form.finite else infinity + (1 << (form.mantissa_bits - 1))
    beyond = found > form.largest if form.finite else found[form.mantissa_bits :] >= infinity >> form.mantissa_bits
    beyond = named(m, beyond, "beyond")
    end, nothing = form.largest if saturate else nan if form.finite else infinity, number.nan
    if form.finite and not saturate:
        nothing |= number.infinite | beyond
    special = Mux(number.infinite & ~nothing, end if form.finite else infinity, nan)
    size = Mux(number.infinite | nothing, special, Mux(beyond, end, found))
    return Cat(named(m, size[: form.bits - 1], "size"), named(m, number.negative & ~nothing, "sign"))
