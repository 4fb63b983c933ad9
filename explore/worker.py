"""The far end of the pool: a process that reads tasks from its standard input and writes rows to its output.

Messages are pickles between a parent and the child it made, over pipes that nobody else has; nothing of it is ever
kept. The first message is the job. The process ends with its parent: a thread reads on while a point is computed.
"""

from __future__ import annotations

import os
import pickle
import queue
import socket
import struct
import sys
import threading
import time
from typing import IO

from siloom.explore.job import Job, Task
from siloom.explore.row import Row
from siloom.sim.errors import MissingPartError

_HEADER = struct.Struct("<Q")
_FLUSH_S = 0.05
"""Rows are sent together while they come faster than this."""

Report = tuple[Task, Row | None, float]
"""A task, its row (None: its memory limit was hit) and the seconds it took."""


def send(pipe: IO[bytes], message: object) -> None:
    """Write one message."""
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.write(_HEADER.pack(len(data)) + data)
    pipe.flush()


def receive(pipe: IO[bytes]) -> object:
    """Read one message.

    Raises:
        EOFError: the other end is gone.
    """
    header = pipe.read(_HEADER.size)
    if len(header) < _HEADER.size:
        raise EOFError
    data = pipe.read(_HEADER.unpack(header)[0])
    if len(data) < _HEADER.unpack(header)[0]:
        raise EOFError
    return pickle.loads(data)


def main() -> None:
    """Serve until the parent closes the pipe."""
    tasks_in = os.fdopen(os.dup(0), "rb")
    rows_out = os.fdopen(os.dup(1), "wb")
    # Prints of a user's machine go to the terminal, not between the messages.
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    chunks: queue.SimpleQueue[list[Task]] = queue.SimpleQueue()
    job = receive(tasks_in)
    assert isinstance(job, Job)

    def listen() -> None:
        while True:
            try:
                chunks.put(receive(tasks_in))  # type: ignore[arg-type]
            except Exception:
                os._exit(0)  # the parent is gone, or wants us gone: nobody waits for the point at hand

    threading.Thread(target=listen, daemon=True).start()
    _limit_memory(job)
    from siloom.explore.evaluate import Evaluator

    evaluator = Evaluator(job)
    if job.fidelity != "training":
        _ = evaluator.workloads  # before the first point, whose time is measured
    send(rows_out, socket.gethostname())
    while True:
        reports: list[Report] = []
        last = time.perf_counter()
        for task in chunks.get():
            begin = time.perf_counter()
            try:
                row: Row | None = evaluator.row(task)
            except MemoryError:
                row = None
            except MissingPartError as error:
                send(rows_out, reports)
                send(rows_out, error)  # the parent ends, and us
                break
            now = time.perf_counter()
            reports.append((task, row, now - begin))
            if now - last >= _FLUSH_S:
                send(rows_out, reports)
                reports, last = [], now
        if reports:
            send(rows_out, reports)


def _limit_memory(job: Job) -> None:
    """Bound what this process may allocate; where the system cannot, it is not bounded."""
    if job.limits.memory_bytes is None or sys.platform == "win32":
        return
    import resource

    limit = job.limits.memory_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
