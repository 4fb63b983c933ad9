"""By how much a row breaks its space's constraints: what searches learn from, and what is told where nothing holds."""

from __future__ import annotations

import math
from functools import lru_cache

from siloom.explore.expression import Known
from siloom.explore.row import Row
from siloom.explore.space import Space
from siloom.models.registry import machine as machine_by_text
from siloom.sim.design import Value
from siloom.sim.machine import Machine


@lru_cache(maxsize=256)
def _fields(text: str) -> dict[str, Value]:
    return machine_by_text(text).design.as_dict()


def violation(space: Space, row: Row) -> float:
    """The shares by which constraints are missed, added up; infinite where it cannot be told."""
    source = next(a.source for a in space.alternatives if a.text == row.machine)
    base = source.design.as_dict() if isinstance(source, Machine) else _fields(source)
    known: dict[str, Known] = {**base, **row.settings, **row.metrics}
    # What was not run for its area's sake has no other metric: those constraints are not told.
    total = math.fsum(one.violation(known) for one in space.constraints if one.names <= known.keys())
    return total if total > 0 else math.inf
