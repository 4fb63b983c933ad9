"""A3's exponential as part of a twin: two tables, looked up side by side, and a multiplier."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module

from siloom.rtl.shifts import shifted_right
from siloom.rtl.table import look_up
from siloom.sim.units.exp_split import ExpSplit, split_tables


def split_entries(m: Module, design: ExpSplit, x: Any, name: str = "") -> tuple[Any, Any]:
    """The entries of both tables for ``x``; ``name`` tells several pairs of tables apart."""
    high, low = (table.tolist() for table in split_tables(design))
    return (
        look_up(m, f"highs{name}", high, design.power.bits, x[design.low_bits :]),
        look_up(m, f"lows{name}", low, design.power.bits, x[: design.low_bits]),
    )


def split_power(m: Module, design: ExpSplit, high: Any, low: Any, name: str = "") -> Any:
    """Their product, cut off: one at most, so that it has no more bits than an entry."""
    return shifted_right(m, f"product{name}", high * low, design.power_fraction)[: design.power.bits]
