"""Shifts: by places that are known when a twin is built, as wires, and by places that come with the beat, as levels."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from siloom.rtl.elastic import Stage, Values
from siloom.rtl.spread import SHIFT, Step


def low_unread(name: str) -> str:
    """A name for a wire whose lowest bits nobody reads: it says so, which keeps Verilator from complaining."""
    return f"{name}_low_unused"


def shifted_right(m: Module, name: str, value: Any, places: int) -> Any:
    """``value >> places`` towards minus infinity, one bit at least: of a number all shifted out, its sign.

    ``name`` is that of the wire that is cut.
    """
    shape = Value.cast(value).shape()
    wire: Any = Signal(shape, name=low_unread(name) if places else name)
    m.d.comb += wire.eq(value)
    if places >= shape.width:
        return wire[-1:].as_signed() if shape.signed else Const(0, 1)
    return wire[places:].as_signed() if shape.signed else wire[places:]


def extended(wire: Any, width: int) -> Any:
    """A signed number, a wire or part of one, with its sign repeated up to ``width`` bits at least."""
    more = width - Value.cast(wire).shape().width
    return Cat(wire, wire[-1].replicate(more)).as_signed() if more > 0 else wire


def left_shifter(name: str, places: str, levels: int, width: int) -> list[Step]:
    """Steps that move the unsigned ``name`` left by the lowest ``levels`` bits of ``places``, the smallest first.

    What is moved beyond ``width`` bits is lost. Whatever else a beat carries is passed on.
    """

    def level(place: int) -> Stage:
        def stage(m: Module, given: Values, moves: Value) -> Values:
            here = given[name]
            moved = Cat(Const(0, 1 << place), here)[:width]
            return {**given, name: Mux(given[places][place], moved, here)}

        return stage

    return [Step(level(place), SHIFT) for place in range(levels)]
