"""Keys that are marked by bits, one after another, the lowest first."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Signal

from siloom.rtl.barrel import named


def lowest(m: Module, bits: Any, number_bits: int) -> tuple[Any, Any]:
    """The number of the lowest bit that is set, one of them at least, and the bits without it."""
    count = len(bits)
    only = named(m, bits & (~bits + 1)[:count], "lowest_only")
    digits = [Cat(only[k] for k in range(count) if k >> digit & 1).any() for digit in range(number_bits)]
    return named(m, Cat(digits), "lowest_number"), named(m, bits & ~only, "bits_behind")


class Walk:
    """Goes through the bits of a query.

    ``steps``: a number stands on ``number`` in this cycle; ``last``: there is none behind it.
    """

    def __init__(self, m: Module, begins: Any, bits: Any, number_bits: int) -> None:
        """Put it into ``m``: in a cycle with ``begins`` it goes through ``bits``, from then on through those left."""
        left = Signal(len(bits), name="bits_left")
        now = named(m, (bits & begins.replicate(len(bits))) | left, "bits_now")
        self.steps = named(m, now.any(), "walk_steps")
        self.number, rest = lowest(m, now, number_bits)
        self.last = named(m, ~rest.any(), "walk_last")
        m.d.sync += left.eq(rest)
