"""One of several values by its number, as levels of two-way choices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Mux, Value


def pick(values: Sequence[Any], index: Any) -> Any:
    """``values[index]``, for an index below their number."""
    left, bits = [Value.cast(value) for value in values], Value.cast(index)
    level = 0
    while len(left) > 1:
        pairs = [Mux(bits[level], left[k + 1], left[k]) for k in range(0, len(left) - 1, 2)]
        left = [*pairs, *left[2 * len(pairs) :]]
        level += 1
    return left[0]
