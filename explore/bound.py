"""Points by their closed-form bound: a hundred thousand a second, to look at a space before running any of it.

Axes of numbers become arrays; axes of texts and truths, and of numbers by which tables are read, are taken one value at
a time.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siloom.explore.space import Alternative
from siloom.sim.design import Value
from siloom.sim.machine import Machine
from siloom.sim.ops import Workload


def bounds(
    made: Machine, works: Sequence[tuple[Workload, float]], settings: Sequence[Mapping[str, Value]]
) -> dict[str, NDArray[np.float64]] | None:
    """``seconds``, and ``area_mm2`` where there is a form, of many designs of one machine.

    None where the machine has no closed form of one of the operations, or does not run it.
    """
    columns = {name: [point[name] for point in settings] for name in (settings[0] if settings else ())}
    return column_bounds(made, works, columns, len(settings))


def column_bounds(
    made: Machine,
    works: Sequence[tuple[Workload, float]],
    columns: Mapping[str, Sequence[Value] | NDArray[Any]],
    count: int,
) -> dict[str, NDArray[np.float64]] | None:
    """:func:`bounds` of designs given as columns: field -> its value in each design."""
    about = made.design.parameters()
    fixed = [
        name for name in columns if name in about and (name in made.bound_one_by_one or _is_word(columns[name][0]))
    ]
    numbers = {name: np.asarray(columns[name]) for name in columns if name not in fixed and name in about}
    base = made.design.as_dict()
    seconds, area = np.zeros(count), np.zeros(count)
    has_area = True
    for values, where in _groups([np.asarray(columns[name]) for name in fixed], count):
        chosen = {name: column[where].astype(np.float64) for name, column in numbers.items()}
        fields = SimpleNamespace(**{**base, **dict(zip(fixed, values, strict=True)), **chosen})
        found = _of_group(made, works, fields)
        if found is None:
            return None
        seconds[where] = found[0]
        has_area = has_area and found[1] is not None
        area[where] = found[1] if found[1] is not None else 0.0
    return {"seconds": seconds, "area_mm2": area} if has_area else {"seconds": seconds}


def _is_word(value: Value) -> bool:
    return isinstance(value, str | bool)


def _groups(columns: Sequence[NDArray[Any]], count: int) -> list[tuple[tuple[Any, ...], Any]]:
    """The distinct values of some columns, and where each stands."""
    if not columns:
        return [((), slice(None))]
    parts = [np.unique(column, return_inverse=True) for column in columns]
    out = []
    for levels in itertools.product(*(range(len(values)) for values, _ in parts)):
        where = np.ones(count, dtype=bool)
        for level, (_, inverse) in zip(levels, parts, strict=True):
            where &= inverse == level
        if where.any():
            out.append((tuple(values[level].item() for level, (values, _) in zip(levels, parts, strict=True)), where))
    return out


def _of_group(made: Machine, works: Sequence[tuple[Workload, float]], fields: Any) -> tuple[Any, Any] | None:
    seconds: Any = 0.0
    area: Any = 0.0
    for work, weight in works:
        for item in work.items:
            found = made.bound(item.op, fields) if made.supports(item.op) else None
            if found is None:
                return None
            seconds = seconds + weight * item.repeat * found.seconds
            area = None if area is None or found.area_mm2 is None else np.maximum(area, found.area_mm2)
    return seconds, area


def alternative_columns(alternative: Alternative, inner: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """The fields of an alternative's points ``inner``, as columns.

    The points are whole numbers, Python's own where 64 bits do not hold them.
    """
    columns: dict[str, NDArray[Any]] = {}
    for axis in reversed(alternative.axes):
        level = (inner % len(axis)).astype(np.int64)
        inner = inner // len(axis)
        values = axis.values
        if isinstance(values, range):  # which may have more values than memory
            columns[axis.name] = values.start + values.step * level
        else:
            columns[axis.name] = np.asarray(values)[level]
    return columns
