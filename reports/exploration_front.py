"""Which rows no other is better than, by named metrics: what the page and the figures of an exploration draw strong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from siloom.explore.metrics import Metric
from siloom.explore.pareto import front
from siloom.explore.row import Row


def front_keys(rows: Sequence[Row], judged: Sequence[Metric]) -> set[bytes]:
    """Keys of the valid rows that no other valid row of the same fidelity dominates.

    A bound and a run of the same design are not compared: the bound would always win. Rows that lack one of the
    metrics are on no front.
    """
    signs = np.array([-1.0 if metric.more_is_better else 1.0 for metric in judged])
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.status == "ok" and all(metric.name in row.metrics for metric in judged):
            groups.setdefault(row.fidelity, []).append(row)
    out: set[bytes] = set()
    for group in groups.values():
        values = np.array([[row.metrics[metric.name] for metric in judged] for row in group]) * signs
        out.update(row.key for row, kept in zip(group, front(values), strict=True) if kept)
    return out
