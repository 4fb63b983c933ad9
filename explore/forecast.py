"""What a run would take, before it is begun: points, time, memory, disk."""

from __future__ import annotations

import statistics
import time
from typing import Any

from siloom.explore.driver import plan
from siloom.explore.evaluate import Evaluator
from siloom.explore.job import Job, Keys, Task
from siloom.explore.search import searches
from siloom.explore.space import Space

_SAMPLES = 5
_PATIENCE_S = 5.0
_ROW_BYTES = 600
"""A row without its details; those are measured."""


def forecast(space: Space, workers: int) -> dict[str, Any]:
    """Points of each search, and from a few points that are evaluated here, the time, memory and disk of all.

    Nothing is kept. Points that several searches ask for are counted for each, so time and disk are upper bounds.

    Raises:
        SiloomError: as of exploring.
    """
    planned = plan(space)
    points = sum(search.points for search in planned)
    job = Job.of(space)
    evaluator = Evaluator(job)
    begin = time.perf_counter()
    hashes = [] if space.training else [work.content_hash for work, _ in evaluator.workloads]
    loading = time.perf_counter() - begin
    keys = Keys(job, hashes)
    drawn = searches()["random"](space, seed=space.search.seed, batch=_SAMPLES, points=_SAMPLES).ask()
    seconds, sizes, statuses = [], [], []
    began = time.perf_counter()
    for index in [drawn[0], *drawn] if not space.training else drawn[:1]:  # the first also compiles kernels
        number, inner = space.place(index)
        settings = space.alternatives[number].settings(inner)
        begin = time.perf_counter()
        row = evaluator.row(Task(keys.key(number, settings), number, settings))
        seconds.append(time.perf_counter() - begin)
        sizes.append(_ROW_BYTES + len(row.details) // 4)
        statuses.append(row.status)
        if time.perf_counter() - began > _PATIENCE_S:
            break
    measured = seconds[1:] or seconds
    each = statistics.median(measured)  # one may have compiled a kernel
    total = points * each / max(1, workers)
    allowed = space.budget.seconds
    return {
        "space": space.name,
        "size": space.size,
        "machines": [alternative.text for alternative in space.alternatives],
        "searches": [{"name": s.name, "seed": s.seed, "points": s.points} for s in planned],
        "points": points,
        "sampled": len(statuses),
        "seconds_per_point": each,
        "loading_s": loading,
        "workers": workers,
        "seconds": total if allowed is None else min(total, float(allowed)),
        "memory_bytes": _resident() * (max(1, workers) + 1),
        "disk_bytes": points * max(sizes),
    }


def _resident() -> int:
    """The most memory that this process has had: it has loaded what a worker loads."""
    try:
        import resource
    except ImportError:  # pragma: no cover - another system
        return 0
    import sys

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
