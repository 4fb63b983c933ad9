"""When and where the terms of many sums are worked on, so many a step: a plan in plain numbers, without hardware."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from amaranth.hdl import Shape

Interval = tuple[int, int]
"""The smallest and the largest number."""


@dataclass(frozen=True)
class Term:
    """``weight`` times number ``source``, for the sum that becomes number ``target``."""

    target: int
    source: int
    weight: int


@dataclass(frozen=True)
class Span:
    """Terms of one sum in one step, in lanes ``first`` to ``end - 1``: all of them, or those up to or from a cut."""

    target: int
    step: int
    first: int
    end: int
    begins: bool
    ends: bool


def spans_of(terms: Iterable[Term], lanes: int) -> list[Span]:
    """Terms in order, one in each lane of a step; those of a sum stand together, and are cut where a step ends."""
    found: list[Span] = []
    at = 0
    for target, group in groupby(terms, lambda term: term.target):
        begin, stop = at, at + sum(1 for _ in group)
        while at < stop:
            step, first = divmod(at, lanes)
            end = min(stop - step * lanes, lanes)
            found.append(Span(target, step, first, end, at == begin, step * lanes + end == stop))
            at = step * lanes + end
    return found


def last_uses(terms: Sequence[Term], lanes: int) -> dict[int, int]:
    """The last step in which each number is read."""
    return {term.source: k // lanes for k, term in enumerate(terms)}


def shared_registers(done: Mapping[int, int], needed: Mapping[int, int]) -> list[list[int]]:
    """Numbers that take turns in a register, in order.

    Args:
        done: the step in which each number comes; from the next one on its register has it.
        needed: the last step in which it is read, a later one. At the end of that another number may come.
    """
    members: list[list[int]] = []
    busy: list[int] = []
    for number in sorted(needed, key=lambda number: (done[number], number)):
        place = next((r for r, until in enumerate(busy) if until <= done[number]), len(busy))
        if place == len(busy):
            members.append([])
            busy.append(0)
        members[place].append(number)
        busy[place] = needed[number]
    return members


def times(numbers: Interval, weight: int) -> Interval:
    """All that the products can be."""
    ends = [number * weight for number in numbers]
    return min(ends), max(ends)


def plus(one: Interval, other: Interval) -> Interval:
    """All that the sums can be."""
    return one[0] + other[0], one[1] + other[1]


def around(intervals: Iterable[Interval]) -> Interval:
    """The smallest that holds them all."""
    lows, highs = zip(*intervals, strict=True)
    return min(lows), max(highs)


def shape_of(numbers: Interval) -> Shape:
    """Signed, and just wide enough."""
    low, high = min(numbers[0], -1), max(numbers[1], 0)
    return Shape(max((-low - 1).bit_length(), high.bit_length()) + 1, signed=True)
