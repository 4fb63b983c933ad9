"""How tasks become rows: the interface, and the null implementation, which does it here and now."""

from __future__ import annotations

import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from siloom.explore.evaluate import Evaluator
from siloom.explore.job import Job, Task
from siloom.explore.row import Row

Outcome = Literal["done", "timeout", "memory", "crashed"]


@dataclass(frozen=True)
class Evaluated:
    """A task's end. ``row`` is None where a limit was hit: such a point is told of, and is no result."""

    task: Task
    row: Row | None
    outcome: Outcome
    wall_s: float
    host: str


class Executor(ABC):
    """Evaluates tasks of one job, each once, in any order. A context manager: leaving it ends its processes."""

    @abstractmethod
    def run(self, tasks: Iterator[Task], stopped: Callable[[], bool]) -> Iterator[Evaluated | None]:
        """Evaluate all tasks; None whenever a while passed without news.

        Tasks are taken as they are needed. Ends early, at most a second later, once ``stopped`` says so.
        """

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *about: object) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027 - most have something to end
        """End what runs."""


def crashed_row(job: Job, task: Task) -> Row:
    """The row of a point whose process died on it alone, twice."""
    return Row(
        key=task.key,
        machine=job.machine_texts[task.number],
        settings=dict(task.settings),
        workload=job.workload_text,
        fidelity=job.fidelity,
        status="crashed",
        reason="crashed",
        message="the process that evaluated this point died, twice",
    )


class Here(Executor):
    """In this process, one after another: what every other executor must agree with. Keeps no ``[limits]``."""

    def __init__(self, job: Job) -> None:
        self._evaluator = Evaluator(job)
        self._host = socket.gethostname()

    def run(self, tasks: Iterator[Task], stopped: Callable[[], bool]) -> Iterator[Evaluated | None]:
        """Evaluate in the order given."""
        for task in tasks:
            if stopped():
                return
            begin = time.perf_counter()
            try:
                row: Row | None = self._evaluator.row(task)
            except MemoryError:
                row = None
            outcome: Outcome = "done" if row is not None else "memory"
            yield Evaluated(task, row, outcome, time.perf_counter() - begin, self._host)
