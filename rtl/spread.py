"""A computation in small steps, dealt out over as many stages as a Contract gives.

A twin says its work as steps, each with its depth: how much logic lies one behind the other in it, where an
addition counts one. :func:`spread` cuts their chain where the longest stage becomes shortest, for
:func:`siloom.rtl.elastic.elastic` to put registers there. What a step remembers from beat to beat it changes only when
one moves through, and no other step reads it; else it belongs in a stage at a place of its own choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, is_dataclass
from functools import cache
from itertools import pairwise, zip_longest
from typing import Any

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data

from siloom.rtl.elastic import Stage, Values, carry

ADD = 1
COMPARE = 1
SHIFT = 1
LOOK_UP = 2
MULTIPLY = 3


@dataclass(frozen=True)
class Step:
    """Combinational logic that is not cut further, and its depth in additions."""

    compute: Stage
    depth: int = ADD


def spread(steps: Sequence[Step], count: int) -> list[Stage]:
    """``count`` stages that do these steps in order.

    More stages than steps: those left over follow the deepest step and only carry its result, for a synthesis tool
    to move logic into.
    """
    cuts = _cuts([step.depth for step in steps], min(count, len(steps)))
    stages = [_together(steps, first, end) for first, end in pairwise(cuts)]
    if spare := count - len(stages):
        deepest = max(range(len(steps)), key=lambda number: steps[number].depth)
        stages[deepest + 1 : deepest + 1] = [carry] * spare
    return stages


def abreast(*chains: Sequence[Step]) -> list[Step]:
    """One chain of steps that does these side by side; each passes on what is another one's."""

    def both(steps: Sequence[Step]) -> Step:
        def compute(m: Module, values: Values, moves: Value) -> Values:
            for step in steps:
                values = step.compute(m, values, moves)
            return values

        return Step(compute, max(step.depth for step in steps))

    return [both([step for step in level if step]) for level in zip_longest(*chains)]


def _cuts(depths: Sequence[int], count: int) -> tuple[int, ...]:
    """Where each of ``count`` runs of steps begins, and the end: the deepest run shallow, all of them alike."""

    @cache
    def best(first: int, runs: int, limit: int) -> tuple[int, int, tuple[int, ...]]:
        """Of steps from ``first`` on: the deepest run, ``limit`` at least, the sum of squares, and where runs end."""
        if runs == 1:
            depth = sum(depths[first:])
            return max(limit, depth), depth * depth, (len(depths),)
        found = []
        for end in range(first + 1, len(depths) - runs + 2):
            depth = sum(depths[first:end])
            deepest, squares, cuts = best(end, runs - 1, limit)
            found.append((max(deepest, depth), squares + depth * depth, (end, *cuts)))
        return min(found)

    # Runs that stay below the deepest one anyhow are only made alike.
    deepest = best(0, count, 0)[0]
    return (0, *best(0, count, deepest)[2])


def _together(steps: Sequence[Step], first: int, end: int) -> Stage:
    def stage(m: Module, values: Values, moves: Value) -> Values:
        for number in range(first, end):
            found = steps[number].compute(m, values, moves)
            if number + 1 < end:
                # A wire between steps: what is read several times is then made once.
                found = {name: _wire(m, value, f"{name}_of_step{number + 1}") for name, value in found.items()}
            values = found
        return values

    return stage


def _wire(m: Module, value: Any, name: str) -> Any:
    if is_dataclass(value) or isinstance(Value.cast(value), Signal):
        return value
    shape = value.shape() if isinstance(value, data.View) else Value.cast(value).shape()
    wire = Signal(shape, name=name)
    m.d.comb += wire.eq(value)
    return wire
