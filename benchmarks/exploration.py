"""What exploring costs beside the runs themselves: bounds a second, how busy the pool keeps its cores, its overhead.

    python benchmarks/exploration.py [--workers N]

``bounds``: points a second of the closed form, one core. ``pool``: points of about 50 ms each, evaluated by worker
processes: the CPU time of the workers over wall time times workers, and wall and CPU time over those of plain loops
over the same points, one loop a core at the same time, each with its even share and nothing to talk to: cores that
are all busy are slower than one alone, and that is not the pool's doing. Workers and loops are started and their
kernels loaded before the clock; of each figure the median of some rounds, in which pool and loops alternate.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection

import numpy as np

from siloom.explore.bound import alternative_columns, column_bounds
from siloom.explore.evaluate import Evaluator
from siloom.explore.executor import Here
from siloom.explore.job import Job, Task
from siloom.explore.load import space_of
from siloom.explore.pool import Pool
from siloom.explore.space import Space

POINTS = 240
ROUNDS = 5


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


def plain_loop(share: int, of: int) -> Connection:
    """A process that runs each ``of``-th point from ``share`` on whenever True comes, and sends the CPU seconds."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_loop, args=(there, share, of), daemon=True)
    process.start()
    here.recv()
    return here


def _loop(pipe: Connection, share: int, of: int) -> None:
    made = space()
    mine = tasks(made, POINTS)[share::of]
    here = Here(Job.of(made))
    list(here.run(iter(mine[:3]), lambda: False))
    pipe.send(None)
    while pipe.recv():
        begin = time.process_time()
        list(here.run(iter(mine), lambda: False))
        pipe.send(time.process_time() - begin)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    workers = parser.parse_args().workers
    of = space()
    print(f"bounds: {bounds_per_second(of):,.0f} points/s")
    every = tasks(of, POINTS)
    loops = [plain_loop(share, workers) for share in range(workers)]
    with Pool(Job.of(of), workers) as pool:

        def pooled(some: Iterator[Task]) -> tuple[float, float]:
            before, begin = worker_cpu_s(pool) if pool._workers else 0.0, time.perf_counter()
            list(pool.run(some, lambda: False))
            return time.perf_counter() - begin, worker_cpu_s(pool) - before

        def looped() -> tuple[float, float]:
            begin = time.perf_counter()
            for loop in loops:
                loop.send(True)
            spent = sum(loop.recv() for loop in loops)
            return time.perf_counter() - begin, spent

        pooled(iter(every[: 4 * workers]))
        rounds = [(*looped(), *pooled(iter(every))) for _ in range(ROUNDS)]
    for loop in loops:
        loop.send(False)
    walls = [row[2] / row[0] - 1 for row in rounds]
    cpus = [row[3] / row[1] - 1 for row in rounds]
    alone, _, wall, cpu = (float(np.median(column)) for column in zip(*rounds, strict=True))
    print(f"a point: {alone * workers / POINTS * 1e3:.1f} ms in {workers} plain loops")
    print(f"pool of {workers}: {POINTS / wall:.1f} points/s; cores {cpu / wall / workers:.1%} busy with points;")
    for name, over in (("wall", walls), ("CPU", cpus)):
        each = ", ".join(f"{100 * ratio:+.1f}" for ratio in over)
        print(f"  {name} time {float(np.median(over)):+.1%} over the loops' (rounds: {each} %)")


if __name__ == "__main__":
    main()
