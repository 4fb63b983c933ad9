"""Points by their closed form: no runs, no processes, a block of points at a time."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from siloom.explore.bound import bounds
from siloom.explore.evaluate import Evaluator
from siloom.explore.executor import Evaluated, Executor
from siloom.explore.job import Job, Task
from siloom.explore.row import Row
from siloom.sim.errors import InfeasibleError

_BLOCK = 5_000


class Bounds(Executor):
    """The fidelity ``bound``: ``seconds`` no run is below, and ``area_mm2``. Designs are not built, so none is refused.

    Raises (when run):
        InfeasibleError: a machine has no closed form of its workloads.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._evaluator = Evaluator(job)
        self._host = socket.gethostname()

    def run(self, tasks: Iterator[Task], stopped: Callable[[], bool]) -> Iterator[Evaluated | None]:
        """Evaluate block by block, each machine's points together."""
        while not stopped() and (block := list(itertools.islice(tasks, _BLOCK))):
            begin = time.perf_counter()
            rows = [row for number in sorted({task.number for task in block}) for row in self._rows(number, block)]
            wall = (time.perf_counter() - begin) / len(block)
            yield from (Evaluated(task, row, "done", wall, self._host) for task, row in rows)

    def _rows(self, number: int, block: Sequence[Task]) -> Iterator[tuple[Task, Row]]:
        own = [task for task in block if task.number == number]
        made = self._evaluator.machine(number)
        found = bounds(made, self._evaluator.workloads, [task.settings for task in own])
        if found is None:
            raise InfeasibleError(
                f"{made.label}: has no closed form of these workloads, so there is no fidelity 'bound'"
            )
        names = list(found)
        for task, values in zip(own, zip(*(found[name].tolist() for name in names), strict=True), strict=True):
            yield task, self._evaluator.judged(task, dict(zip(names, values, strict=True)))


def rank_correlation(evaluator: Evaluator, rows: Sequence[Row], texts: Sequence[str]) -> dict[str, Any] | None:
    """Spearman's rho of the bound's seconds and those of runs, over the rows of machines that have a closed form.

    None where there is none, or fewer than three rows.
    """
    from scipy.stats import spearmanr

    measured: list[float] = []
    bounded: list[float] = []
    for number, text in enumerate(texts):
        own: list[Row] = [row for row in rows if row.machine == text and "seconds" in row.metrics]
        settings: list[Mapping[str, Any]] = [row.settings for row in own]
        found = bounds(evaluator.machine(number), evaluator.workloads, settings) if own else None
        if found is not None:
            measured += [row.metrics["seconds"] for row in own]
            bounded += found["seconds"].tolist()
    if len(measured) < 3 or len(set(measured)) < 2 or len(set(bounded)) < 2:
        return None
    return {"rank_correlation": float(spearmanr(measured, bounded).statistic), "points": len(measured)}
