"""What a space's file says of a field, as the values of its axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from siloom.explore.axis import default_values, geometric, linear, powers_of_two, written
from siloom.explore.document import Range
from siloom.sim.design import Parameter, Value
from siloom.sim.errors import InputError
from siloom.workloads.bounds import place

_MOST = 10**18
"""Whole numbers of one range, which is kept by its ends."""
_MOST_LISTED = 100_000
_FEW = 10_000
"""A longer range is held by its ends: a field's rule is a pair of limits or a list of choices."""
_WORDS: Mapping[type | None, str] = {bool: "true or false", int: "a whole number"}


def values_of_field(
    said: str | list[Any] | Range,
    owner: str,
    name: str,
    about: Parameter | None,
    kind: type | None,
    blame: Callable[[str], InputError],
) -> Sequence[Value]:
    """The values of ``owner``'s field ``name``, which is described by ``about`` and of type ``kind``.

    Both are None for a name that only a training's texts know. ``blame`` makes the error from a sentence.

    Raises:
        InputError: no value, one of another type or beyond the field's limits, or one named twice.
    """
    if isinstance(said, list):
        if kind not in (str, None) and (words := [value for value in said if isinstance(value, str)]):
            raise blame(f"must be {_WORDS.get(kind, 'a number')}, got the text {place(repr(words[0])[:60])}")
        values: Sequence[Any] = said
    elif isinstance(said, Range):
        values = _of_range(said, kind, blame)
    elif about is None or kind is None:
        raise blame("has no description of its own: name its values")
    else:
        values = default_values(about, kind)
        if not values:
            raise blame("has no limits of its own: name its values")
    ends = values if len(values) <= _FEW or isinstance(said, list) else (values[0], values[-1])
    if any(isinstance(value, int) and not -(2**63) <= value < 2**63 for value in ends):
        raise blame("whole numbers must be below 2**63")
    if about is not None and kind is not None:
        try:
            checked = [about.check(owner, name, value, kind) for value in ends]
        except InputError as error:
            raise blame(str(error).partition(f"{name} ")[2] or str(error)) from None
        if ends is values:
            values = checked
    if isinstance(said, list) and len(set(map(repr, values))) < len(values):
        raise blame("names a value twice")
    return values


def _of_range(said: Range, kind: type | None, blame: Callable[[str], InputError]) -> Sequence[Any]:
    whole = isinstance(said.low, int) and isinstance(said.high, int) and kind in (int, None)
    if kind is str or kind is bool:
        raise blame("takes a list of values, not a range")
    if said.scale == "log2":
        values: Sequence[Any] = powers_of_two(said.low, said.high)
        if not values:
            raise blame(f"there is no power of two from {said.low} to {said.high}: the range is empty")
        return values if kind in (int, None) else [float(value) for value in values]
    if said.count is None and whole and said.scale == "linear":
        step = said.step if said.step is not None else 1
        if not isinstance(step, int):
            raise blame(f"step must be a whole number, got {step}")
        count = (int(said.high) - int(said.low)) // step + 1
        if count > _MOST:
            raise blame(f"from {said.low} to {said.high} there are {count:.3g} values; at most {_MOST:.3g}")
        return range(int(said.low), int(said.high) + 1, step)
    if said.step is not None:
        steps = (said.high - said.low) / said.step * (1 + 1e-12)
        if not steps < _MOST_LISTED:
            raise blame(f"step {said.step} makes {steps:.3g} values; at most {_MOST_LISTED}")
        return [written(said.low + said.step * number) for number in range(int(steps) + 1)]
    if said.count is None:
        raise blame("a range of real numbers needs a count, a step or scale = 'log2'")
    apart = said.high / said.low if said.scale == "log" else said.high - said.low
    if not math.isfinite(apart):
        raise blame(f"low and high are too far apart, got {said.low} and {said.high}")
    values = (geometric if said.scale == "log" else linear)(float(said.low), float(said.high), said.count)
    return list(dict.fromkeys(round(value) for value in values)) if whole else values
