"""A tournament whose winners leave one by one, each replaced by the next entrant of its own column.

Entrants are compared in pairs, level by level. Registers may stand between any two levels, and each holds a winner that
nobody has called yet: when it is called, the register takes the better one of those below, and only that one is called
in turn. As every column gives its entrants in order, the order in which they leave does not depend on where registers
stand, and one leaves every cycle if each column can give one every cycle.

A call goes through all levels in one cycle, as one gate each; comparisons do not wait for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value

from siloom.rtl.barrel import named
from siloom.rtl.hold import hold


@dataclass(frozen=True)
class Entrant:
    """Wires of whoever stands at some place of the tournament.

    Attributes:
        number: signed, that is compared; of equal ones that of the lower column wins.
        left: low where a column has come to its end, which loses to any that has not.
        note: what goes with it.
        called: high where it leaves with the end of this cycle; driven by the level above.
    """

    number: Any
    left: Any
    note: Any
    called: Any


def entrant(m: Module, name: str, number: Any, left: Any, note: Any) -> Entrant:
    """An entrant with these values."""
    parts = {"number": number, "left": left, "note": note}
    wires = {part: named(m, value, f"{name}_{part}") for part, value in parts.items()}
    return Entrant(**wires, called=Signal(name=f"{name}_called"))


def winners(m: Module, name: str, those: Sequence[Entrant], *, largest: bool) -> list[Entrant]:
    """Of each pair of neighbours that with the largest or the smallest number; an odd one goes on as it is."""
    found = []
    for pair, one in enumerate(those[::2]):
        if 2 * pair + 1 == len(those):
            found.append(one)
            continue
        other = those[2 * pair + 1]
        beyond = other.number > one.number if largest else other.number < one.number
        second = named(m, other.left & (beyond | ~one.left), f"{name}{pair}_second")
        number, note = Mux(second, other.number, one.number), Mux(second, other.note, one.note)
        best = entrant(m, f"{name}{pair}", number, one.left | other.left, note)
        m.d.comb += [one.called.eq(best.called & ~second), other.called.eq(best.called & second)]
        found.append(best)
    return found


def waiting(m: Module, name: str, below: Entrant, fills: Value) -> Entrant:
    """A register that holds a winner until it is called; ``fills`` calls the first one into it."""
    called = Signal(name=f"{name}_called")
    m.d.comb += below.called.eq(fills | called)
    parts = {"number": below.number, "left": below.left, "note": below.note}
    held = {part: hold(m, wire, f"{name}_{part}", below.called) for part, wire in parts.items()}
    return Entrant(**held, called=called)
