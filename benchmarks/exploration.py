"""What exploring costs beside the runs themselves: bounds a second, how busy the pool keeps its cores, its overhead.

    python benchmarks/exploration.py [--workers N]

``bounds``: points a second of the closed form, one core. ``pool``: points of about 50 ms each, evaluated by worker
processes: the CPU time of the workers over wall time times workers, and the wall time over that of a plain loop over
the same points in this process, divided by the workers. Workers are started and their kernels loaded before the clock.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator

import numpy as np

from siloom.explore.bound import alternative_columns, column_bounds
from siloom.explore.evaluate import Evaluator
from siloom.explore.executor import Here
from siloom.explore.job import Job, Task
from siloom.explore.load import space_of
from siloom.explore.pool import Pool
from siloom.explore.space import Space

POINTS = 240


def space() -> Space:
    """A space of ELSA whose points take about 50 ms, in one thread each."""
    return space_of(
        {
            "machine": "elsa",
            "workloads": ["attention:seq=256,heads=10,dim=64,seed=0"],
            "objectives": ["time", "area"],
            "fields": {
                "attention_units": [1, 2, 4, 8],
                "selectors": [1, 2, 4, 8],
                "output_multipliers": {"low": 1, "high": 16},
            },
        }
    )


def tasks(of: Space, count: int) -> list[Task]:
    """The first ``count`` points."""
    return [Task(n.to_bytes(16, "big"), 0, of.settings(n)) for n in range(count)]


def bounds_per_second(of: Space) -> float:
    """Closed-form points a second, the best of five."""
    evaluator = Evaluator(Job.of(of))
    made, works = evaluator.machine(0), evaluator.workloads
    inner = np.arange(200_000) % of.size
    best = np.inf
    for _ in range(5):
        begin = time.perf_counter()
        column_bounds(made, works, alternative_columns(of.alternatives[0], inner), len(inner))
        best = min(best, time.perf_counter() - begin)
    return len(inner) / best


def worker_cpu_s(pool: Pool) -> float:
    """CPU seconds that the pool's processes have used."""
    ticks = 0
    for each in pool._workers:
        with open(f"/proc/{each.process.pid}/stat", encoding="ascii") as file:  # noqa: PTH123
            fields = file.read().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    workers = parser.parse_args().workers
    of = space()
    print(f"bounds: {bounds_per_second(of):,.0f} points/s")
    job, every = Job.of(of), tasks(of, POINTS)
    here = Here(job)
    list(here.run(iter(every[:3]), lambda: False))

    def loop() -> float:
        begin = time.perf_counter()
        list(here.run(iter(every), lambda: False))
        return time.perf_counter() - begin

    with Pool(job, workers) as pool:

        def one(some: Iterator[Task]) -> tuple[float, float]:
            before, begin = worker_cpu_s(pool) if pool._workers else 0.0, time.perf_counter()
            list(pool.run(some, lambda: False))
            return time.perf_counter() - begin, worker_cpu_s(pool) - before

        one(iter(every[: 4 * workers]))
        rounds = [(loop(), *one(iter(every))) for _ in range(3)]
    alone, wall, cpu = (float(np.median(column)) for column in zip(*rounds, strict=True))
    print(f"a point: {alone / POINTS * 1e3:.1f} ms in a plain loop")
    print(f"pool of {workers}: {POINTS / wall:.1f} points/s; cores {cpu / wall / workers:.1%} busy with points;")
    print(f"  wall time {wall * workers / alone - 1:+.1%} over a plain loop shared out evenly")
    print(f"  CPU time {cpu / alone - 1:+.1%} over a plain loop")


if __name__ == "__main__":
    main()
