"""Whole numbers brought to fewer bits: rounded half to even, and held at the ends of a range."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Mux, Value

from siloom.rtl.shifts import extended


def half_even(wire: Any, places: int) -> Any:
    """``wire / 2**places`` to the nearest whole number, ties to even; of a signed number, a wire or part of one."""
    if places == 0:
        return wire
    wide = extended(wire, places + 1)
    whole = wide[places:].as_signed()
    below_half = wide[: places - 1].any() if places > 1 else Const(0, 1)
    return whole + (wide[places - 1] & (below_half | whole[0]))


def clamp(wire: Any, low: int, high: int) -> Any:
    """The nearest number from ``low`` to ``high``, which have different signs; no wider than needed for them."""
    span = 1 << (Value.cast(wire).shape().width - 1)
    bits = max(high.bit_length(), (-low - 1).bit_length()) + 1
    held = wire[:bits].as_signed()
    # An end that the number cannot pass needs no comparator.
    if high < span - 1:
        held = Mux(wire > high, high, held)
    if low > -span:
        held = Mux(wire < low, low, held)
    return held
