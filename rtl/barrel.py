"""Barrel shifters and a count of leading zeros: the parts of which floating-point hardware is made.

All is combinational. A shift goes through one multiplexer for each bit of its amount; every level is
a signal of its own, so that simulators work it out once.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value


def named(m: Module, value: Any, name: str) -> Any:
    """A value as a signal, for results that are read in several places."""
    signal: Any = Signal(Value.cast(value).shape(), name=name)
    m.d.comb += signal.eq(value)
    return signal


def leading_zeros(m: Module, value: Any) -> Any:
    """How many zeros are above the highest one; all of them where there is none."""
    return _zeros(m, Cat(Const(1, 1), value))


def _zeros(m: Module, value: Any) -> Any:
    """A tree: of each pair of parts the upper one decides, unless it is all zeros. The lowest bit is taken for one."""
    if len(value) == 1:
        return Const(0, 1)
    # The upper part has a power of two of bits, and the lower one no more: its count fills the lower digits.
    upper = 1 << ((len(value) - 1).bit_length() - 1)
    low, high = value[:-upper], value[-upper:]
    empty = named(m, ~high.any(), "empty")
    if upper == 1:
        return empty
    return Cat(named(m, Mux(empty, _zeros(m, low), _zeros(m, high)), "zeros"), empty)


def barrel_left(m: Module, value: Any, amount: Any) -> Any:
    """``value << amount`` in the width of ``value``, an amount of at most that width; what leaves it is lost."""
    width = len(value)
    for level in range(min(len(amount), width.bit_length())):
        step = min(1 << level, width)
        value = named(m, Mux(amount[level], Cat(Const(0, step), value[: width - step]), value), "left")
    return value


def barrel_right(m: Module, value: Any, amount: Any) -> tuple[Any, Any]:
    """``value >> amount`` in the width of ``value``, and a bit that says whether a one was shifted out."""
    width = len(value)
    levels = width.bit_length()
    whole, lost = value, Const(0, 1)
    for level in range(min(len(amount), levels)):
        step = min(1 << level, width)
        lost = named(m, lost | (amount[level] & value[:step].any()), "lost")
        value = named(m, Mux(amount[level], Cat(value[step:], Const(0, step)), value), "right")
    beyond = amount[levels:]
    if not len(beyond):
        return value, lost
    far = named(m, beyond.any(), "far")
    return named(m, Mux(far, 0, value), "right"), named(m, Mux(far, whole.any(), lost), "lost")
