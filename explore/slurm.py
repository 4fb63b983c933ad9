"""Workers that a SLURM cluster's queue starts: Dask's scheduler here, its workers in jobs by dask-jobqueue.

``slurm:jobs=8,cores=16,memory=32GB,walltime=02:00:00`` submits eight jobs of sixteen single-threaded workers each. What
is not named is the user's own in ``~/.config/dask/jobqueue.yaml``, where dask-jobqueue looks. The scheduler lives in
this process, on a node that may submit and that the jobs' nodes can reach; when it ends, the jobs are cancelled. Jobs
begin in the folder that they were submitted from, with this Python: both must be on a file system that the nodes share.
"""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from siloom.explore.dask_cluster import DaskCluster
from siloom.explore.executor import Evaluated, Executor
from siloom.explore.job import Job, Task
from siloom.sim.errors import InputError, MissingPartError, UsageError, did_you_mean
from siloom.sim.settings import parse_named

SCHEME = "slurm"
_MOST = 10_000
_SUBMIT_S = 60.0
_WORDS: Mapping[str, tuple[str, str]] = {
    "memory": (r"[0-9]+ ?[kMGT]?i?B", "32GB"),
    "walltime": (r"([0-9]+-)?[0-9]+(:[0-9]+){0,2}", "02:00:00"),
    "queue": (r"[\w.-]+", "short"),
    "account": (r"[\w.-]+", "project1"),
    "interface": (r"[\w.-]+", "ib0"),
}
"""Settings that reach the job's script, their form there, of which no shell makes anything else, and an example."""


@dataclass(frozen=True)
class SlurmJobs:
    """How many jobs, and what dask-jobqueue is told of each."""

    jobs: int
    each: Mapping[str, Any]

    @classmethod
    def of(cls, text: str) -> SlurmJobs:
        """The jobs that ``slurm:key=value,...`` asks for.

        Raises:
            UsageError: an unknown setting, a value of another form, or an interface that is not here.
        """
        settings = dict(parse_named(text).settings if text != SCHEME else {})
        jobs = _count("jobs", settings.pop("jobs", "1"))
        each: dict[str, Any] = {}
        if "cores" in settings:
            # A worker is one process with one thread, as the pool's are: points do not share a process.
            each = dict.fromkeys(("cores", "processes"), _count("cores", settings.pop("cores")))
        for name, value in settings.items():
            if name not in _WORDS:
                raise UsageError(
                    f"--cluster {SCHEME}: no setting '{name}'{did_you_mean(name, ('jobs', 'cores', *_WORDS))}"
                )
            form, example = _WORDS[name]
            if not re.fullmatch(form, value):
                raise UsageError(f"--cluster {SCHEME}: {name} must be a word as {example}, got {value!r:.60}")
            each[name] = value
        known = [name for _, name in socket.if_nameindex()]
        if (interface := each.get("interface", known[0])) not in known:
            raise UsageError(f"--cluster {SCHEME}: no interface '{interface}' here{did_you_mean(interface, known)}")
        return cls(jobs, each)


def _count(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= _MOST and len(text) < 9):
        raise UsageError(f"--cluster {SCHEME}: {name} must be a whole number from 1 to {_MOST}, got {text!r:.60}")
    return int(text)


def slurm_cluster(jobs: SlurmJobs) -> Any:
    """dask-jobqueue's cluster, of which no job has been submitted.

    Raises:
        MissingPartError: dask-jobqueue is not installed, or there is no ``sbatch`` here.
        UsageError: neither the settings nor the user's own configuration say what a job takes.
    """
    try:
        with _handlers_left_alone():
            from dask import config
            from dask_jobqueue import SLURMCluster
    except ImportError:
        raise MissingPartError(f"--cluster {SCHEME} needs dask-jobqueue: pip install 'siloom[cluster]'") from None
    if shutil.which("sbatch") is None:
        raise MissingPartError(
            f"--cluster {SCHEME}: there is no sbatch here; run it where jobs of a SLURM cluster are submitted"
        )
    for name in ("cores", "memory"):
        if name not in jobs.each and config.get(f"jobqueue.slurm.{name}", None) is None:
            where = "here or in ~/.config/dask/jobqueue.yaml"
            raise UsageError(f"--cluster {SCHEME}: name {name}, as slurm:cores=8,memory=32GB, {where}")
    scheduler = {**config.get("jobqueue.slurm.scheduler-options", {}), "dashboard": False}
    return SLURMCluster(scheduler_options=scheduler, **jobs.each)


@contextmanager
def _handlers_left_alone() -> Iterator[None]:
    """Importing dask-jobqueue sets a handler of SIGINT, which would take Ctrl-C from us, or fails in a thread."""
    kept = signal.signal
    signal.signal = lambda *_: None
    try:
        yield
    finally:
        signal.signal = kept


class Slurm(Executor):
    """Jobs of a SLURM cluster, from their submission to their end.

    Raises (when made):
        MissingPartError: as of :func:`slurm_cluster`.
        UsageError: as of :func:`slurm_cluster`.
        InputError: the queue refuses such a job.
    """

    def __init__(self, job: Job, jobs: SlurmJobs) -> None:
        self._cluster = slurm_cluster(jobs)
        try:
            _require_accepted(self._cluster.job_script())
            self._dask = DaskCluster(job, self._cluster.scheduler_address)
            self._cluster.scale(jobs=jobs.jobs)
        except BaseException:
            self._cluster.close()
            raise

    def run(self, tasks: Iterator[Task], stopped: Callable[[], bool]) -> Iterator[Evaluated | None]:
        """Evaluate in whatever order the jobs finish; while all of them wait in the queue, so does this."""
        yield from self._dask.run(tasks, stopped)

    def close(self) -> None:
        """Cancel the jobs."""
        self._dask.close()
        self._cluster.close()


def _require_accepted(script: str) -> None:
    """Have the queue look at a job without submitting it: what it refuses later nobody would tell.

    Raises:
        InputError: it is refused, or the queue does not answer.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "job.sh"
        file.write_text(script)
        try:
            done = subprocess.run(
                ["sbatch", "--test-only", str(file)], capture_output=True, text=True, timeout=_SUBMIT_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise InputError(f"--cluster {SCHEME}: sbatch has not answered for {_SUBMIT_S:.0f} s") from None
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())[:200]
        raise InputError(f"--cluster {SCHEME}: sbatch refuses the job: {said or f'it ends with {done.returncode}'}")
