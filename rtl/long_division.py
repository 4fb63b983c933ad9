"""Long division of an unsigned number by shifting and subtracting, several digits at a time, for a rigid pipeline.

(:mod:`siloom.rtl.divider` divides in place, and one digit a step in an elastic pipeline.)

The divisor stands still and the remainder moves up to it: ``remainder`` begins as the dividend, below ``divisor <<
places``; each digit compares, subtracts and shifts the remainder by one place. After ``places + 1`` digits the
remainder is what is left over, times ``2 << places``. The owner keeps remainder and quotient between digits, in
registers or on wires; nothing here remembers anything.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal

from siloom.rtl.shifts import low_unread


def digits(m: Module, name: str, remainder: Any, divisor: Any, places: int, count: int) -> tuple[Any, Any]:
    """``count`` digits of the quotient, first the highest.

    Args:
        m: the module that gets the logic.
        name: of its wires.
        remainder: unsigned, below ``2 * divisor << places``.
        divisor: unsigned, as it is, not shifted.
        places: quotient bits after the first.
        count: digits wanted.

    Returns:
        The new remainder, as wide as the old one, and the digits, the last one lowest.
    """
    width = len(divisor) + places + 1
    found = []
    for k in range(count):
        here: Any = Signal(width, name=f"{name}_remainder{k}")
        rest: Any = Signal(len(divisor), name=f"{name}_rest{k}")
        fits: Any = Signal(name=f"{name}_digit{k}")
        top = here[places:]
        m.d.comb += [here.eq(remainder), fits.eq(top >= divisor), rest.eq(Mux(fits, top - divisor, top))]
        # What is left of a digit is below the divisor, so nothing is shifted out.
        remainder = Cat(Const(0, 1), here[:places], rest)
        found.append(fits)
    return remainder, Cat(*reversed(found))


def rounded_half_even(m: Module, name: str, remainder: Any, divisor: Any, places: int, quotient: Any) -> Any:
    """The quotient to the nearest whole number, ties to even, of what is left after all its digits."""
    up: Any = Signal(name=f"{name}_up")
    left: Any = Signal(len(divisor) + places + 1, name=low_unread(f"{name}_left"))
    half = Cat(Const(0, places), divisor)
    m.d.comb += [left.eq(remainder), up.eq((left > half) | ((left == half) & quotient[0]))]
    return quotient + up
