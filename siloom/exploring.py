"""``siloom explore`` and ``siloom.explore``: a space from its file or document, searched, and told as plain values."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siloom import __version__
from siloom.explore.driver import explore, plan
from siloom.explore.executor import Executor, Here
from siloom.explore.front import Step, front_of, history, nearest, why_none
from siloom.explore.job import Job
from siloom.explore.load import space_of, space_of_file
from siloom.explore.outcome import Explored, Progress, Shard
from siloom.explore.pool import Pool
from siloom.explore.row import STATUSES, Row
from siloom.explore.space import Space
from siloom.explore.store import Store
from siloom.sim.errors import UsageError
from siloom.sim.machine import Machine

if TYPE_CHECKING:
    import pandas as pd


def load_space(given: str | Path | Mapping[str, Any] | Space, machine: Machine | None = None) -> Space:
    """The space that a path, a document or an object is.

    Raises:
        InputError: with file, line, path and rule.
    """
    if isinstance(given, Space):
        return given
    if isinstance(given, Mapping):
        return space_of(given, machine)
    return space_of_file(Path(given))


def executor_of(workers: int | None, cluster: str | None) -> Callable[[Job], Executor]:
    """Who evaluates: processes here (as many as this process may use cores), none (0: this process), or a cluster."""
    if cluster is not None:
        from siloom.explore.dask_cluster import DaskCluster
        from siloom.explore.slurm import SCHEME, Slurm, SlurmJobs

        if cluster.partition(":")[0] == SCHEME:
            jobs = SlurmJobs.of(cluster)
            return lambda job: Slurm(job, jobs)

        return lambda job: DaskCluster(job, cluster)
    count = workers if workers is not None else usable_cores()
    return Here if count == 0 else lambda job: Pool(job, count)


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def shard_of(text: str | None) -> Shard | None:
    """``2/8`` as the second of eight shards.

    Raises:
        UsageError: not of that form.
    """
    if text is None:
        return None
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count) <= 1_000_000):
        raise UsageError(f"--shard must have the form i/N with i from 1 to N, got {text!r:.40}")
    return Shard(int(number), int(count))


def default_store(space_file: Path) -> Path:
    """``SPACE.siloom.db`` beside the space's file."""
    return space_file.with_suffix(".siloom.db")


@dataclass(frozen=True)
class Exploration:
    """What :func:`run` gives: the space, all rows that were asked for, the front, and how searches came to it."""

    explored: Explored
    store: Path | None

    @property
    def space(self) -> Space:
        """The space that was searched."""
        return self.explored.space

    @property
    def front(self) -> list[Row]:
        """The rows that no other is better than in every objective."""
        return [self.explored.rows[index] for index in front_of(self.space, self.explored.rows)]

    @property
    def history(self) -> list[Step]:
        """Hypervolume against evaluations, of each search and seed."""
        return history(self.space, self.explored.runs, self.explored.rows)

    @property
    def rows(self) -> list[Row]:
        """Every row, in the order of the space."""
        return [self.explored.rows[index] for index in sorted(self.explored.rows)]

    def frame(self) -> pd.DataFrame:
        """Every row as a DataFrame: a column for each field and metric."""
        from siloom.reports.exploration_table import frame

        return frame(self.rows)

    @property
    def why_none(self) -> str:
        """In one line why there is no front; empty where there is one, or where no point was looked at."""
        said = why_none(self.space, self.explored.rows, self.explored.limits_hit)
        return f"{self.space.name}: {said}" if said else ""

    def to_dict(self) -> dict[str, Any]:
        """The document that ``siloom explore --json`` prints."""
        rows, space = self.explored.rows, self.space
        counts = {status: sum(row.status == status for row in rows.values()) for status in STATUSES}
        near = None if counts["ok"] else nearest(space, rows)
        return {
            "space": space.name,
            "size": space.size,
            "objectives": [metric.name for metric in space.objectives],
            "constraints": [*(c.text for c in space.constraints), *(f.text for f in space.fits)],
            "fidelity": space.fidelity,
            "searches": [
                {"name": run.name, "seed": run.seed, "evaluations": len(run.asked)} for run in self.explored.runs
            ],
            "evaluations": len(rows),
            "counts": {**counts, "limits_hit": self.explored.limits_hit},
            "ended": self.explored.ended,
            "bound": None if self.explored.correlation is None else dict(self.explored.correlation),
            "finalists": [_row(row) for row in self.explored.finalists],
            "front": [_row(row) for row in self.front],
            "history": [asdict(step) for step in self.history],
            "nearest": None if near is None else _near(*near),
            "store": None if self.store is None else str(self.store),
            "provenance": {"siloom": __version__},
        }


def _row(row: Row) -> dict[str, Any]:
    return {
        "key": row.key.hex(),
        "design": row.design,
        "machine": row.machine,
        "settings": dict(row.settings),
        "bottleneck": row.bottleneck,
        "reason": row.message,
        **row.metrics,
    }


def _near(constraint: str, row: Row, missed: float) -> dict[str, Any]:
    """``missed_by`` is None where a text differs or a metric is missing: that has no size."""
    return {"constraint": constraint, "missed_by": missed if math.isfinite(missed) else None, **_row(row)}


def run(
    given: str | Path | Mapping[str, Any] | Space,
    *,
    machine: Machine | None = None,
    store: str | Path | None = None,
    workers: int | None = None,
    cluster: str | None = None,
    shard: str | None = None,
    watch: Callable[[Progress], None] = lambda _: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Exploration:
    """Search a space.

    ``given`` is a TOML file, the same as a mapping, or a Space; ``machine`` may be an object instead of a name.
    ``store`` is by default ``SPACE.siloom.db`` beside a file, and in memory for anything else; what it holds already is
    not computed again. ``workers`` are processes (0: none but this), by default one for each core.

    Raises:
        InputError: a fault of the space or the store.
        UsageError: a grid beyond its budget, or a shard of an adaptive search.
    """
    space = load_space(given, machine)
    part = shard_of(shard)
    path: Path | None = None if store is None else Path(store)
    if path is None and isinstance(given, str | Path):
        path = default_store(Path(given))
    plan(space)  # what cannot be searched is told before a store is made
    with _opened(path) as kept:
        kept.note_space(space.name, space.describe())
        explored = explore(space, kept, executor_of(workers, cluster), shard=part, watch=watch, stopped=stopped)
    return Exploration(explored, path)


@contextlib.contextmanager
def _opened(path: Path | None) -> Iterator[Store]:
    with Store.open(path if path is not None else Path(":memory:")) as store:
        yield store
