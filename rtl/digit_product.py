"""A wide product in two parts: products of digits, and their sum. A register may stand between.

Digits are as wide as the multipliers of common FPGAs. Products that do not overlap are one number as they
stand, side by side, so of ``n`` squared products ``2 * n - 1`` numbers are to be added.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module

from siloom.rtl.barrel import named

DIGIT = 18


def digit_products(m: Module, a: Any, b: Any) -> Any:
    """All products of a digit of ``a`` and one of ``b``, two unsigned numbers of one width, in one value."""
    digits = range(_digits(len(a)))
    return Cat(named(m, _digit(a, i) * _digit(b, j), "digits") for i in digits for j in digits)


def sum_of_products(m: Module, products: Any, bits: int) -> Any:
    """The product of both numbers, of ``bits`` each, from what :func:`digit_products` gives."""
    count, start = _digits(bits), 0
    found: dict[tuple[int, int], Any] = {}
    for i in range(count):
        for j in range(count):
            width = _width(i, bits) + _width(j, bits)
            found[i, j] = products[start : start + width]
            start += width
    diagonals = [[(i, i + apart) for i in range(count) if 0 <= i + apart < count] for apart in range(1 - count, count)]
    total = sum(Cat(Const(0, DIGIT * sum(places[0])), *(found[place] for place in places)) for places in diagonals)
    return named(m, total[: 2 * bits], "product")


def _digits(bits: int) -> int:
    return -(-bits // DIGIT)


def _width(place: int, bits: int) -> int:
    return min(DIGIT, bits - DIGIT * place)


def _digit(number: Any, place: int) -> Any:
    return number[DIGIT * place : DIGIT * place + _width(place, len(number))]
