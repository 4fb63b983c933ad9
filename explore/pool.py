"""Worker processes on this machine.

Chunks of about half a second go out to each worker, two at a time so that none waits; rows come back as they are made.
A worker that dies takes nothing along but what it had not sent: those points are tried again, each alone, and one on
which a worker dies twice alone is the poison: its row says ``crashed``. A worker that is silent for longer than a point
may take is ended, and the point it is then silent on alone has hit its limit.

Python's own pools cannot end one worker, and lose the chunks of all when one dies; so this one is ours.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from siloom.explore import worker as far
from siloom.explore.executor import Evaluated, Executor, crashed_row
from siloom.explore.job import Job, Task
from siloom.explore.row import Row
from siloom.sim.errors import MissingPartError, SiloomError

CHUNK_S = 0.5
_LARGEST = 5_000
_AHEAD = 2
_DEATHS = 2
_TICK_S = 0.1
_START_S = 300.0
"""What a worker may take to begin: kernels are compiled the first time."""
_PROGRAM = "import json,sys;sys.path[:]=json.loads(sys.argv[1]);from siloom.explore.worker import main;main()"
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


class WorkerFailedError(SiloomError):
    """Workers cannot even begin (exit 70): none lives long enough to take a point."""


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    sent: deque[Task] = field(default_factory=deque)
    host: str = ""
    heard: float = 0.0
    ended: bool = False
    alone: bool = False
    """Whether the point that it has is tried alone: nothing goes out behind it, or that would be lost with it again."""

    @property
    def ready(self) -> bool:
        return bool(self.host)


class Pool(Executor):
    """``workers`` processes for one job."""

    def __init__(self, job: Job, workers: int) -> None:
        self._job = job
        self._inbox: queue.Queue[tuple[_Worker, object]] = queue.Queue()
        self._workers: list[_Worker] = []
        self._count = workers
        self._alone: deque[Task] = deque()
        self._deaths: dict[bytes, int] = {}
        self._point_s = CHUNK_S
        self._stillborn = 0

    def run(self, tasks: Iterator[Task], stopped: Callable[[], bool]) -> Iterator[Evaluated | None]:
        """Evaluate in whatever order workers finish.

        Raises:
            MissingPartError: a worker lacks what a point needs.
        """
        ahead = list(itertools.islice(tasks, self._count))
        source = itertools.chain(ahead, tasks)
        exhausted = False
        looked = time.monotonic()
        while not stopped():
            if time.monotonic() - looked > _TICK_S:  # by the clock: the others may report without a pause
                yield from self._end_silent()
                looked = time.monotonic()
            while len(self._workers) < len(ahead):  # no more than there are points
                self._start()
            for each in self._workers:
                exhausted = self._feed(each, source, exhausted) or exhausted
            if exhausted and not self._alone and not any(each.sent for each in self._workers):
                return
            try:
                news = self._inbox.get(timeout=_TICK_S)
            except queue.Empty:
                yield None
                continue
            yield from self._news(*news)

    def _start(self) -> None:
        environment = {**os.environ, **dict.fromkeys(_THREADS, "1")}
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, json.dumps([part or str(Path.cwd()) for part in sys.path])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # an interrupt is for us: they end when we close their pipes
        )
        each = _Worker(process, heard=time.monotonic())
        self._workers.append(each)
        threading.Thread(target=self._listen, args=(each,), daemon=True).start()
        self._send(each, self._job)

    def _listen(self, each: _Worker) -> None:
        assert each.process.stdout is not None
        try:
            while True:
                self._inbox.put((each, far.receive(each.process.stdout)))
        except Exception:
            self._inbox.put((each, None))

    def _send(self, each: _Worker, message: object) -> None:
        assert each.process.stdin is not None
        with contextlib.suppress(OSError):  # it died; its reader says so
            far.send(each.process.stdin, message)

    def _feed(self, each: _Worker, source: Iterator[Task], exhausted: bool) -> bool:
        """Give a worker its next chunk if it has room; whether the source has ended."""
        if not each.ready or each.ended or (each.alone and each.sent):
            return False
        if self._alone:
            if not each.sent:
                self._hand(each, [self._alone.popleft()])
                each.alone = True
            return False
        size = max(1, min(_LARGEST, int(CHUNK_S / max(self._point_s, 1e-9))))
        if exhausted or (each.sent and len(each.sent) > size * (_AHEAD - 1)):
            return False
        chunk = list(itertools.islice(source, size))
        if not chunk:
            return True
        self._hand(each, chunk)
        each.alone = False
        return False

    def _hand(self, each: _Worker, chunk: list[Task]) -> None:
        if not each.sent:
            each.heard = time.monotonic()
        each.sent.extend(chunk)
        self._send(each, chunk)

    def _news(self, each: _Worker, message: object) -> Iterator[Evaluated]:
        each.heard = time.monotonic()
        if message is None:
            yield from self._died(each)
        elif isinstance(message, str):
            each.host = message
            self._stillborn = 0
        elif isinstance(message, MissingPartError):
            raise message
        elif isinstance(message, list):
            for task, row, wall in message:
                each.sent.popleft()
                self._point_s += 0.2 * (wall - self._point_s)
                yield self._done(each, task, row, wall)

    def _done(self, each: _Worker, task: Task, row: Row | None, wall: float) -> Evaluated:
        self._deaths.pop(task.key, None)
        return Evaluated(task, row, "done" if row is not None else "memory", wall, each.host)

    def _died(self, each: _Worker, *, silent: bool = False) -> Iterator[Evaluated]:
        """Put what a dead worker had back in line, or give its point up."""
        if each not in self._workers:
            return
        self._workers.remove(each)
        _end(each)
        lost = list(each.sent)
        if not each.ready:
            self._stillborn += 1
            if self._stillborn > self._count + _DEATHS:
                raise WorkerFailedError(
                    f"workers end with code {each.process.returncode} before they take a point; see their words above"
                )
        if len(lost) > 1:
            # One of the first is to blame; those that had not begun come along, which costs little.
            self._alone.extend(lost)
            return
        for task in lost:
            deaths = self._deaths[task.key] = self._deaths.get(task.key, 0) + 1
            waited = time.monotonic() - each.heard
            if silent:
                del self._deaths[task.key]
                yield Evaluated(task, None, "timeout", waited, each.host)
            elif deaths >= _DEATHS:
                del self._deaths[task.key]
                yield Evaluated(task, crashed_row(self._job, task), "crashed", waited, each.host)
            else:
                self._alone.append(task)

    def _end_silent(self) -> Iterator[Evaluated]:
        """End workers that have not been heard of for longer than a point may take."""
        now = time.monotonic()
        for each in list(self._workers):
            limit = self._job.limits.seconds if each.ready else _START_S
            if limit is not None and (each.sent or not each.ready) and now - each.heard > limit:
                yield from self._died(each, silent=True)

    def close(self) -> None:
        """End all workers at once; what they have not sent is lost, and is computed again another time."""
        for each in self._workers:
            _end(each)
        self._workers.clear()


def _end(each: _Worker) -> None:
    each.ended = True
    each.process.kill()
    each.process.wait()
    for pipe in (each.process.stdin, each.process.stdout):
        with contextlib.suppress(OSError):
            if pipe is not None:
                pipe.close()
