"""Several numbers of one shape side by side, their sum as a tree of adders, and sums of each from beat to beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Module, Mux, Shape, Signal, Value
from amaranth.lib import data

from siloom.rtl.elastic import Values
from siloom.rtl.spread import ADD, Step


def lanes(value: Any) -> list[Any]:
    """The numbers of a port: of one with a single lane, that is the number itself."""
    return list(value) if isinstance(value, data.View) else [value]


def side_by_side(m: Module, name: str, shape: Any, values: Sequence[Any]) -> Any:
    """These numbers as one array of ``shape`` each; a single one stays a number, as in a port."""
    if len(values) == 1:
        wire: Any = Signal(shape, name=name)
        m.d.comb += wire.eq(values[0])
        return wire
    wires = Signal(data.ArrayLayout(shape, len(values)), name=name)
    m.d.comb += [wire.eq(value) for wire, value in zip(wires, values, strict=True)]
    return wires


def tree(name: str, count: int, total: Shape) -> list[Step]:
    """Steps that add up the ``count`` lanes of ``name`` in pairs, until one number is left under that name.

    Whatever else a beat carries is passed on.

    Args:
        name: of the array.
        count: its lanes.
        total: a shape that holds the whole sum; no adder is wider.
    """

    def level(m: Module, given: Values, moves: Value) -> Values:
        numbers = lanes(given[name])
        width = min(Value.cast(numbers[0]).shape().width + 1, total.width)
        sums = [numbers[j] + numbers[j + 1] for j in range(0, len(numbers) - 1, 2)]
        odd = numbers[len(sums) * 2 :]
        added = side_by_side(m, f"{name}_of_{len(sums) + len(odd)}", Shape(width, total.signed), [*sums, *odd])
        return {**given, name: added}

    return [Step(level, ADD) for _ in range((count - 1).bit_length())]


def running_sums(m: Module, name: str, shape: Shape, numbers: Sequence[Any], clear: Value, moves: Value) -> Any:
    """Each number added to those of earlier beats, as one array: accumulators, with this beat in them already.

    Args:
        m: where they are put.
        name: of the registers.
        shape: one that holds every sum.
        numbers: of this beat.
        clear: the sums start with this beat.
        moves: there is a beat; only then the accumulators change.
    """
    held = Signal(data.ArrayLayout(shape, len(numbers)), name=name)
    added = [Mux(clear, 0, before) + number for before, number in zip(held, numbers, strict=True)]
    sums = side_by_side(m, f"{name}_now", shape, added)
    with m.If(moves):
        m.d.sync += held.eq(Value.cast(sums))
    return sums
