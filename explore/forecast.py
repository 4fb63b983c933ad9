"""What a run would take, before it is begun: points, time, memory, disk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from siloom.explore.bound_executor import Bounds
from siloom.explore.driver import plan
from siloom.explore.evaluate import Evaluator
from siloom.explore.executor import Executor, Here
from siloom.explore.job import Job, Keys, Task
from siloom.explore.search import searches
from siloom.explore.space import Space

_SAMPLES = 40
_BOUNDS = 5_000
_PATIENCE_S = 5.0
_ROW_BYTES = 600
"""A row without its details; those are measured."""


@dataclass(frozen=True)
class _Sample:
    points: int
    seconds: float
    """Of a point, on the average: points that cannot be built take next to nothing."""
    row_bytes: int


def forecast(space: Space, workers: int) -> dict[str, Any]:
    """Points of each search, and from some points that are evaluated here, the time, memory and disk of all.

    Nothing is kept. Points that several searches ask for are counted for each, so time and disk are upper bounds.

    Raises:
        SiloomError: as of exploring.
    """
    planned: list[dict[str, Any]] = [{"name": s.name, "seed": s.seed, "points": s.points} for s in plan(space)]
    if space.screen is not None:
        kept = min(space.screen.keep, space.budget.points, space.size)
        planned = [{"name": "screened", "seed": space.search.seed, "points": kept}]
    points = sum(one["points"] for one in planned)
    job = Job.of(space)
    sample = _bounds(space, job) if space.fidelity == "bound" else _runs(space, job)
    here = workers == 0 or space.fidelity == "bound"
    total = points * sample.seconds / (1 if here else workers)
    if space.screen is not None:
        total += min(space.screen.points, space.size) * _bounds(space, job).seconds
    allowed = space.budget.seconds
    return {
        "space": space.name,
        "size": space.size,
        "machines": [alternative.text for alternative in space.alternatives],
        "searches": planned,
        "points": points,
        "sampled": sample.points,
        "seconds_per_point": sample.seconds,
        "workers": 0 if here else workers,
        "seconds": total if allowed is None else min(total, float(allowed)),
        "memory_bytes": _resident() * (1 if here else workers + 1),
        "disk_bytes": points * sample.row_bytes,
    }


def _tasks(space: Space, job: Job, count: int) -> list[Task]:
    """Points at random, as an executor takes them."""
    hashes = [] if space.training else [work.content_hash for work, _ in Evaluator(job).workloads]
    keys = Keys(job, hashes)
    tasks = []
    for index in searches()["random"](space, seed=space.search.seed, batch=count, points=count).ask():
        number, inner = space.place(index)
        settings = space.alternatives[number].settings(inner)
        tasks.append(Task(keys.key(number, settings), number, settings))
    return tasks


def _bounds(space: Space, job: Job) -> _Sample:
    """What a point's closed form takes."""
    tasks, executor = _tasks(space, job, _BOUNDS), Bounds(job)
    seconds = min(_once(executor, tasks)[0] for _ in range(2))
    return _Sample(len(tasks), seconds / len(tasks), _ROW_BYTES)


def _runs(space: Space, job: Job) -> _Sample:
    """What a point's run takes: the shorter of two, since the first may compile kernels. Training is run once."""
    executor = Here(job)
    times: list[float] = []
    sizes: list[int] = []
    spent = 0.0
    for task in _tasks(space, job, 1 if space.training else _SAMPLES):
        runs = [_once(executor, [task]) for _ in range(1 if space.training else 2)]
        times.append(min(seconds for seconds, _ in runs))
        sizes.append(runs[0][1])
        spent += runs[-1][0]
        if spent > _PATIENCE_S:
            break
    return _Sample(len(times), math.fsum(times) / len(times), max(sizes))


def _once(executor: Executor, tasks: Sequence[Task]) -> tuple[float, int]:
    """The seconds of these points, and the bytes of the largest row."""
    news = [one for one in executor.run(iter(tasks), lambda: False) if one is not None]
    size = max((len(one.row.details) // 4 for one in news if one.row is not None), default=0)
    return math.fsum(one.wall_s for one in news), _ROW_BYTES + size


def _resident() -> int:
    """The most memory that this process has had: it has loaded what a worker loads."""
    try:
        import resource
    except ImportError:  # pragma: no cover - another system
        return 0
    import sys

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
