"""Keys that are marked by bits, one after another, the lowest first."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal

from siloom.rtl.barrel import named


def lowest(m: Module, bits: Any) -> Any:
    """The number of the lowest bit that is set, of two bits at least: half after half; any number where none is."""
    half = 1 << ((len(bits) - 1).bit_length() - 1)
    low, high = bits[:half], bits[half:]
    above = named(m, ~low.any(), "above")
    if len(bits) == 2:
        return above
    below = lowest(m, low)
    digits = named(m, Mux(above, lowest(m, high) if len(high) > 1 else 0, below)[: len(below)], "digits")
    return Cat(digits, above)


class Walk:
    """Goes through the bits of a query.

    ``steps``: a number stands on ``number`` in this cycle; ``last``: there is none behind it.
    """

    def __init__(self, m: Module, begins: Any, bits: Any) -> None:
        """Put it into ``m``: in a cycle with ``begins`` it goes through ``bits``, from then on through those left."""
        count = len(bits)
        left = Signal(count, name="bits_left")
        now = named(m, (bits & begins.replicate(count)) | left, "bits_now")
        rest = named(m, now & (now - 1)[:count], "bits_behind")
        self.steps = named(m, now.any(), "walk_steps")
        self.number = lowest(m, now)
        self.last = named(m, ~rest.any(), "walk_last")
        m.d.sync += left.eq(rest)
