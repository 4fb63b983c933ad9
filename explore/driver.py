"""Running an exploration: searches ask, executors evaluate, the store keeps, searches are told.

One process drives. What it acknowledges is in the store; what is in the store is never computed again; what a search is
told depends on the points alone. So the same space gives the same rows with any number of workers, any chunks, on a
cluster, in shards, and after any history of kills and resumes.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from siloom.explore.bound_executor import Bounds, rank_correlation
from siloom.explore.evaluate import Evaluator
from siloom.explore.executor import Evaluated, Executor
from siloom.explore.front import front_of
from siloom.explore.job import Job, Keys, Task
from siloom.explore.outcome import Explored, Progress, SearchRun, Shard, Watcher
from siloom.explore.row import Row
from siloom.explore.screen import Screened
from siloom.explore.search import Search, Told, searches
from siloom.explore.space import Space
from siloom.explore.store import Attempt, Store
from siloom.explore.synthesize_point import require_hardware
from siloom.explore.violation import violation
from siloom.sim.errors import UsageError

_BLOCK = 1000
"""Rows that are written, and keys that are looked up, at once."""
_FLUSH_S = 0.5
"""What is computed is safe at most this much later."""


def explore(
    space: Space,
    store: Store,
    executor: Callable[[Job], Executor],
    *,
    shard: Shard | None = None,
    watch: Watcher = lambda _: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Explored:
    """Search ``space``; every row is in ``store`` when this returns, whyever it does.

    Raises:
        UsageError: a shard of an adaptive search, a grid beyond the budget, or finalists of a machine without hardware.
        MissingPartError: what points need is not installed. It is no point's fate: installed, they are run.
        SiloomError: a workload or machine that cannot be made at all.
    """
    planned = plan(space)
    if space.finalists is not None:
        require_hardware([alternative.text for alternative in space.alternatives], space.finalists.part)
    if shard is not None:
        if space.screen is not None:
            raise UsageError("--shard: [screen] chooses among all points; shards are for searches that do not")
        if adaptive := [search.name for search in planned if search.adaptive]:
            raise UsageError(f"--shard: {adaptive[0]} learns from all points; shards are for searches that do not")
    run = _Run(space, store, Bounds if space.fidelity == "bound" else executor, shard, watch, stopped)
    explored = run.all(run.screened(planned))
    if space.finalists is None or shard is not None or explored.ended != "complete":
        return explored
    return replace(explored, finalists=_finalists(space, store, executor, explored, stopped))


def plan(space: Space) -> list[Search]:
    """The searches that a space asks for: its method, then the baseline beside an adaptive one, over its seeds.

    Raises:
        UsageError: a grid of more points than the budget has.
    """
    chosen = space.search
    if chosen.method == "grid" and space.size > space.budget.points:
        raise UsageError(
            f"{space.name}: grid is every point of the space, {space.size:,}, and the budget has "
            f"{space.budget.points:,}; name another search, fewer values or a larger budget"
        )
    known = searches()
    names = [chosen.method]
    if known[chosen.method].adaptive and chosen.baseline not in ("none", chosen.method):
        names.append(chosen.baseline)
    return [
        known[name](space, seed=chosen.seed + number, batch=chosen.batch, points=space.budget.points)
        for name in names
        for number in range(chosen.seeds)
    ]


class _Run:
    def __init__(
        self,
        space: Space,
        store: Store,
        executor: Callable[[Job], Executor],
        shard: Shard | None,
        watch: Watcher,
        stopped: Callable[[], bool],
    ) -> None:
        self._space = space
        self._store = store
        self._job = Job.of(space)
        self._evaluator = Evaluator(self._job)
        hashes = [] if space.training else [work.content_hash for work, _ in self._evaluator.workloads]
        self._keys = Keys(self._job, hashes)
        self._make = executor
        self._executor: Executor | None = None
        self._shard = shard
        self._watch = watch
        self._interrupted = stopped
        self._rows: dict[int, Row] = {}
        self._indices: dict[bytes, list[int]] = {}
        self._given_up: set[int] = set()
        self._out: set[bytes] = set()
        self._waiting: list[Row] = []
        self._attempts: list[Attempt] = []
        self._flushed = time.monotonic()

    def all(self, planned: Sequence[Search]) -> Explored:
        self._progress = Progress(total=sum(search.points for search in planned))
        runs = []
        cut = False
        try:
            for search in planned:
                runs.append(self._one(search))
                asked = len(runs[-1].asked)
                cut = self._stop() and (asked < search.points or bool(self._out) or len(runs) < len(planned))
                if cut:
                    break
        finally:
            self._flush()
            if self._executor is not None:
                self._executor.close()
        ended = "complete" if not cut else "interrupted" if self._interrupted() else "seconds"
        correlation = None
        if self._space.fidelity == "cycles":
            texts = [alternative.text for alternative in self._space.alternatives]
            correlation = rank_correlation(self._evaluator, list(self._rows.values()), texts)
        return Explored(self._space, tuple(runs), self._rows, len(self._given_up), correlation, (), ended)

    def screened(self, planned: list[Search]) -> list[Search]:
        """The searches of the space, or in their place what its ``[screen]`` lets through."""
        if self._space.screen is None:
            return planned
        chosen = self._space.search
        return [Screened(self._space, self._evaluator, seed=chosen.seed, batch=chosen.batch)]

    def these(self, indices: Sequence[int]) -> dict[int, Row]:
        """Rows of these points."""
        self._progress = Progress(total=len(indices))
        try:
            self._evaluate(iter(indices))
        finally:
            self._flush()
            if self._executor is not None:
                self._executor.close()
        return self._rows

    def _late(self) -> bool:
        allowed = self._space.budget.seconds
        return allowed is not None and time.monotonic() - self._progress.begin > allowed

    def _stop(self) -> bool:
        return self._interrupted() or self._late()

    def _one(self, search: Search) -> SearchRun:
        """Run one search to its end. Points that another search had evaluated count as its own evaluations too."""
        asked: dict[int, None] = {}

        def asking() -> Iterator[int]:
            while len(asked) < search.points and (batch := search.ask()):
                for index in batch:
                    if index not in asked and len(asked) < search.points:
                        asked[index] = None
                        yield index

        if not search.adaptive:
            self._evaluate(asking())
            return SearchRun(search.name, search.seed, tuple(asked))
        while len(asked) < search.points and not self._stop() and (batch := search.ask()):
            fresh = [index for index in batch if index not in asked][: search.points - len(asked)]
            asked.update(dict.fromkeys(fresh))
            self._evaluate(iter(fresh))
            if self._stop():
                break
            rows = sorted((index for index in batch if index in asked), key=lambda i: self._key(i))
            search.tell([self._told(index) for index in rows])
        return SearchRun(search.name, search.seed, tuple(asked))

    def _key(self, index: int) -> bytes:
        number, inner = self._space.place(index)
        return self._keys.key(number, self._space.alternatives[number].settings(inner))

    def _told(self, index: int) -> Told:
        row = self._rows.get(index)
        values = None if row is None else self._space.values_of(row.metrics)
        return Told(index, values, 0.0 if row is None or row.status == "ok" else violation(self._space, row))

    def _evaluate(self, indices: Iterator[int]) -> None:
        """Have every point evaluated that the store has not, and learn all their rows."""
        tasks = self._missing(indices)
        first = next(tasks, None)
        if first is None:
            return
        if self._executor is None:
            self._executor = self._make(self._job)
        for news in self._executor.run(itertools.chain([first], tasks), self._stop):
            if news is not None:
                self._take(news)
                self._out.discard(news.task.key)
            if len(self._waiting) >= _BLOCK or time.monotonic() - self._flushed > _FLUSH_S:
                self._flush()
                self._watch(self._progress)
        self._flush()
        self._watch(self._progress)
        if self._out and not self._stop():
            raise AssertionError(f"{len(self._out)} points were asked for and never came back")

    def _missing(self, indices: Iterable[int]) -> Iterator[Task]:
        """Tasks of the points without a row; those that the store has are read from it, a block at a time."""
        source = iter(indices)
        while block := list(itertools.islice(source, _BLOCK)):
            tasks = []
            for index in block:
                if index in self._rows or index in self._given_up:
                    self._progress.done += 1
                    self._progress.found += 1
                    continue
                number, inner = self._space.place(index)
                settings = self._space.alternatives[number].settings(inner)
                key = self._keys.key(number, settings)
                if self._shard is None or self._shard.holds(key):
                    tasks.append((index, Task(key, number, settings)))
                else:
                    self._progress.total -= 1
            found = {row.key: row for row in self._store.rows([task.key for _, task in tasks])}
            for index, task in tasks:
                # Designs of two machines' texts may be one: then they share a key, and an evaluation.
                same = self._indices.setdefault(task.key, [])
                same.append(index)
                known = found.get(task.key) or self._rows.get(same[0])
                if known is not None or same[0] in self._given_up:
                    self._end(index, known)
                    self._progress.found += 1
                elif task.key not in self._out:
                    self._out.add(task.key)
                    yield task

    def _take(self, news: Evaluated) -> None:
        self._attempts.append(
            Attempt(key=news.task.key, host=news.host, wall_s=news.wall_s, outcome=news.outcome, limit=_limit(news))
        )
        if news.row is not None:
            self._waiting.append(news.row)
        for index in self._indices[news.task.key]:
            self._end(index, news.row)

    def _end(self, index: int, row: Row | None) -> None:
        """Learn what became of a point: its row, or None where a limit was hit."""
        progress = self._progress
        progress.done += 1
        if row is None:
            self._given_up.add(index)
            progress.limits_hit += 1
            return
        row = self._named(index, row)
        self._rows[index] = row
        progress.counts[row.status] = progress.counts.get(row.status, 0) + 1
        if row.status == "ok" and (values := self._space.values_of(row.metrics)) is not None:
            best = None if progress.best is None else self._space.values_of(progress.best.metrics)
            if best is None or (values[0], row.key) < (best[0], progress.best.key if progress.best else b""):
                progress.best = row

    def _named(self, index: int, row: Row) -> Row:
        """The row by the names of this space: another may have called the same design otherwise."""
        number, inner = self._space.place(index)
        alternative = self._space.alternatives[number]
        settings = alternative.settings(inner)
        workload = self._space.workload_text
        if (row.machine, row.workload, [*row.settings.items()]) == (alternative.text, workload, [*settings.items()]):
            return row
        return replace(row, machine=alternative.text, settings=settings, workload=workload)

    def _flush(self) -> None:
        self._flushed = time.monotonic()
        if self._waiting or self._attempts:
            self._store.add(self._waiting, self._attempts)
            self._waiting, self._attempts = [], []


def _limit(news: Evaluated) -> str:
    return "" if news.outcome in ("done", "crashed") else news.outcome


def _finalists(
    space: Space,
    store: Store,
    executor: Callable[[Job], Executor],
    explored: Explored,
    stopped: Callable[[], bool],
) -> tuple[Row, ...]:
    """Synthesise points spread evenly over the front, the first and the last among them."""
    assert space.finalists is not None
    front = front_of(space, explored.rows)
    count = min(space.finalists.points, len(front))
    chosen = [front[round(n * (len(front) - 1) / max(1, count - 1))] for n in range(count)]
    run = _Run(
        replace(space, fidelity="synthesis", constraints=(), fits=()), store, executor, None, lambda _: None, stopped
    )
    rows = run.these(chosen)
    return tuple(rows[index] for index in chosen if index in rows)
