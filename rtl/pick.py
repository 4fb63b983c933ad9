"""One of several values: by its number, as levels of two-way choices, or by a bit of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Module, Mux, Value

from siloom.rtl.barrel import named


def pick(values: Sequence[Any], index: Any) -> Any:
    """``values[index]``, for an index below their number."""
    left, bits = [Value.cast(value) for value in values], Value.cast(index)
    level = 0
    while len(left) > 1:
        pairs = [Mux(bits[level], left[k + 1], left[k]) for k in range(0, len(left) - 1, 2)]
        left = [*pairs, *left[2 * len(pairs) :]]
        level += 1
    return left[0]


def the_one(m: Module, name: str, bits: Sequence[Any], values: Sequence[Any]) -> Any:
    """The value whose bit is high; zero where none is, and where several are, their values are the same."""
    left = [
        named(m, Mux(bit, value, 0), f"{name}_part{k}") for k, (bit, value) in enumerate(zip(bits, values, strict=True))
    ]
    while len(left) > 1:
        pairs = [named(m, left[k] | left[k + 1], f"{name}_of{len(left)}_{k}") for k in range(0, len(left) - 1, 2)]
        left = [*pairs, *left[2 * len(pairs) :]]
    return left[0]
