"""How much each field decides: the share of a metric's variance that lies between the field's values.

This is the first-order effect of a functional analysis of variance, eta squared: with the sum over the values v of a
field of n_v (mean_v - mean)^2, over the sum over all points of (y - mean)^2. On a full grid the shares of all fields
add up to at most 1, and what is missing is interaction; on a sample they are estimates, large where a value has few
points, so that each share is corrected for the number of values (epsilon squared, Kelley, PNAS 1935).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from siloom.explore.row import Row

_MANY = 2
"""Points a value needs on the average, below which a share would say nothing."""


def importance(rows: Sequence[Row], metric: str) -> dict[str, float]:
    """Field -> share of the variance of ``metric`` among valid rows, 0 to 1; of fields with two values or more.

    Rows are of one fidelity. Where they are of several machines, which of them is a field, too: ``machine``.
    A metric that is positive throughout is taken by its logarithm: designs differ by factors.
    """
    known = [row for row in rows if row.status == "ok" and metric in row.metrics]
    values = [row.metrics[metric] for row in known]
    if len(values) < 3:
        return {}
    if min(values) > 0:
        values = [math.log(value) for value in values]
    mean = math.fsum(values) / len(values)
    whole = math.fsum((value - mean) ** 2 for value in values)
    settings = [{"machine": row.machine, **row.settings} for row in known]
    fields = sorted({name for one in settings for name in one})
    out = {}
    for field in fields:
        groups: dict[object, list[float]] = {}
        for one, value in zip(settings, values, strict=True):
            groups.setdefault(one.get(field), []).append(value)
        if len(groups) < 2 or len(values) < _MANY * len(groups):
            continue
        between = math.fsum(len(group) * (math.fsum(group) / len(group) - mean) ** 2 for group in groups.values())
        if whole <= 0:
            out[field] = 0.0
            continue
        within = (whole - between) / (len(values) - len(groups))
        out[field] = min(1.0, max(0.0, (between - (len(groups) - 1) * within) / whole))
    return out
