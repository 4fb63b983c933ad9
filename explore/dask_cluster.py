"""Workers of a Dask cluster, which run our chunks.

Results are taken as they come and released at once; what a lost worker had is run again by Dask. A chunk that Dask
gives up is taken apart, and its points go out again alone. Dask blames all that a lost worker had before it, so a point
is the poison only if it is given up once more while nothing else is under way.

A space's ``[limits]`` are not kept here: what a worker may take is the cluster's own to say.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from siloom.explore.evaluate import Evaluator
from siloom.explore.executor import Evaluated, Executor, crashed_row
from siloom.explore.job import Job, Task
from siloom.explore.row import Row
from siloom.sim.errors import InputError, MissingPartError

CHUNK_S = 1.0
_WINDOW = 4
"""Chunks under way for each worker: the scheduler holds no more, whatever the size of the space."""
_RETRIES = 3
_TICK_S = 0.2
_CONNECT_S = 10
_LARGEST = 5_000

Report = list[tuple[Task, Row | None, float, str]]


@lru_cache(maxsize=4)
def _evaluator(job_text: bytes) -> Evaluator:
    import pickle

    return Evaluator(pickle.loads(job_text))


def evaluate_chunk(job_text: bytes, tasks: list[Task]) -> Report:
    """Evaluate points on a worker of the cluster; machines and workloads are made once in each process."""
    evaluator, host = _evaluator(job_text), socket.gethostname()
    report: Report = []
    for task in tasks:
        begin = time.perf_counter()
        try:
            row: Row | None = evaluator.row(task)
        except MemoryError:
            row = None
        report.append((task, row, time.perf_counter() - begin, host))
    return report


class DaskCluster(Executor):
    """The workers of the scheduler at an address.

    Raises (when made):
        MissingPartError: Dask is not installed.
        InputError: nobody answers at the address.
    """

    def __init__(self, job: Job, address: str) -> None:
        import pickle

        try:
            from distributed import Client
        except ImportError:
            raise MissingPartError("--cluster needs Dask: pip install 'siloom[cluster]'") from None
        try:
            self._client = Client(address, timeout=_CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            said = " ".join(str(error).split())[:120]
            raise InputError(f"--cluster {address}: no Dask scheduler answers there: {said}") from None
        # What becomes of the connection is told by our own one line.
        for name in ("client", "core", "comm"):
            logging.getLogger(f"distributed.{name}").setLevel(logging.CRITICAL)
        self._address = address
        self._job = job
        self._job_text = pickle.dumps(job)
        self._alone: deque[Task] = deque()
        self._suspects: deque[Task] = deque()
        self._point_s = CHUNK_S
        self._under_way: dict[Any, list[Task]] = {}

    def run(self, tasks: Iterator[Task], stopped: Callable[[], bool]) -> Iterator[Evaluated | None]:
        """Evaluate in whatever order the cluster finishes.

        Raises:
            InputError: the scheduler is gone.
        """
        from distributed import CancelledError
        from distributed.comm import CommClosedError

        try:
            yield from self._rounds(iter(tasks), stopped)
        except (CancelledError, CommClosedError):
            raise InputError(
                f"--cluster {self._address}: the scheduler is gone; what was computed is kept, and the same command "
                "goes on from there"
            ) from None

    def _rounds(self, source: Iterator[Task], stopped: Callable[[], bool]) -> Iterator[Evaluated | None]:
        from distributed import TimeoutError as WaitedError
        from distributed import wait

        while not stopped():
            self._fill(source)
            if not self._under_way:
                return
            try:
                with self._client.as_current():
                    done = wait(list(self._under_way), timeout=_TICK_S, return_when="FIRST_COMPLETED").done
            except WaitedError:
                yield None
                continue
            for future in done:
                yield from self._taken(future, self._under_way.pop(future))

    def _fill(self, source: Iterator[Task]) -> None:
        if self._suspects:
            if not self._under_way:
                self._submit([self._suspects[0]])
            return
        room = _WINDOW * max(1, len(self._client.nthreads()))
        while len(self._under_way) < room:
            if self._alone:
                chunk = [self._alone.popleft()]
            else:
                size = max(1, min(_LARGEST, int(CHUNK_S / max(self._point_s, 1e-9))))
                chunk = list(itertools.islice(source, size))
            if not chunk:
                return
            self._submit(chunk)

    def _submit(self, chunk: list[Task]) -> None:
        future = self._client.submit(evaluate_chunk, self._job_text, chunk, pure=False, retries=_RETRIES)
        self._under_way[future] = chunk

    def _taken(self, future: Any, chunk: list[Task]) -> Iterator[Evaluated]:
        tried = bool(self._suspects) and not self._under_way and chunk == [self._suspects[0]]
        if tried:
            self._suspects.popleft()
        if future.status == "finished":
            report: Report = future.result()
            future.release()
            for task, row, wall, host in report:
                self._point_s += 0.2 * (wall - self._point_s)
                yield Evaluated(task, row, "done" if row is not None else "memory", wall, host)
            return
        error = future.exception()
        future.release()
        # An error of the whole chunk (a workload that is not there) is the cluster's, and told once.
        if error is not None and type(error).__name__ != "KilledWorker":
            raise error
        if len(chunk) > 1:
            self._alone.extend(chunk)
            return
        if not tried:
            self._suspects.extend(chunk)
            return
        yield Evaluated(chunk[0], crashed_row(self._job, chunk[0]), "crashed", 0.0, "")

    def close(self) -> None:
        """Give back what is under way, and leave the cluster as it is."""
        with contextlib.suppress(OSError):  # the scheduler is gone, and took them along
            for future in self._under_way:
                future.cancel()
        self._under_way.clear()
        self._client.close(timeout=2)
