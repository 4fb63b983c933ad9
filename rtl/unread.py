"""Operands that a design of some size has no use for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Signal


def unread(m: Module, values: Sequence[Any]) -> None:
    """Lead them to a wire whose name says so, which keeps Verilator from complaining; synthesis removes it."""
    if values:
        # Only Yosys, on the way to Verilog, is told to keep it: the text says nothing of the kind.
        wire = Signal(len(Cat(values)), name="unused", attrs={"keep": 1})
        m.d.comb += wire.eq(Cat(values))
