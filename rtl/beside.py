"""Counters that go round, and notes that travel beside a unit."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.memory import Memory


def after(place: Any, places: int) -> Any:
    """The place after this one in a ring."""
    return Mux(place == places - 1, 0, place + 1)


def beside(m: Module, name: str, shape: Any, places: int, note: Any, enters: Any, leaves: Any) -> Any:
    """The note of the beat that leaves a unit next, of those that were given when beats entered it.

    The unit takes and gives beats in order and holds at most ``places`` of them; a place given up is taken again in the
    same cycle. Nothing is checked: the unit's own handshake keeps them from overflowing.
    """
    if places == 1:
        only: Any = Signal(shape, name=name, reset_less=True)
        with m.If(enters):
            m.d.sync += only.eq(note)
        return only
    memory = Memory(shape=shape, depth=places, init=[])
    m.submodules[name] = memory
    write, read = memory.write_port(), memory.read_port(domain="comb")
    m.d.comb += [write.en.eq(enters), write.data.eq(note)]
    with m.If(enters):
        m.d.sync += write.addr.eq(after(write.addr, places))
    with m.If(leaves):
        m.d.sync += read.addr.eq(after(read.addr, places))
    return read.data
