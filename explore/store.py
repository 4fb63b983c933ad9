"""The store of an exploration: one SQLite file, from which every table, page and export comes.

What :meth:`Store.add` returned from is kept, whatever happens to the process or the power: it is one transaction,
written with ``synchronous=FULL``. A row is known by its key and never changed; adding it again does
nothing. Wall times, hosts and limits that were hit lie in a table of their own and are exported nowhere, so that equal
points make equal exports.
"""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siloom.explore.filesystem import is_network
from siloom.explore.metrics import METRICS, Metric
from siloom.explore.pareto import front, pruners
from siloom.explore.row import STATUSES, Row, canonical
from siloom.sim.errors import InputError

SCHEMA = 1
_APPLICATION = 0x51_4C_4F_4D
"""SQLite's place for a file's own kind."""
_WAIT_S = 30.0
_RETRY_S = 0.02
_COLUMNS = ("seconds", "energy_j", "area_mm2", "edp_js", "accuracy", "cycles")
"""Metrics with a column of their own; the others are in one JSON text."""
_LOOK_UP = 500
_SAMPLED = 2000
_PRUNERS = 12
"""A front is asked for in two steps: so many points of so large a sample rule out most rows."""

_TABLES = f"""
CREATE TABLE row (
  key BLOB NOT NULL UNIQUE, machine TEXT NOT NULL, settings TEXT NOT NULL, workload TEXT NOT NULL,
  fidelity TEXT NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL, message TEXT NOT NULL, bottleneck TEXT NOT NULL,
  {", ".join(f"{name} REAL" for name in _COLUMNS)}, more TEXT NOT NULL, details BLOB NOT NULL
);
CREATE TABLE attempt (key BLOB NOT NULL, host TEXT NOT NULL, wall_s REAL NOT NULL, outcome TEXT NOT NULL,
  hit TEXT NOT NULL);
CREATE TABLE space (name TEXT NOT NULL, document TEXT NOT NULL UNIQUE);
"""
_FIELDS = ("key", "machine", "settings", "workload", "fidelity", "status", "reason", "message", "bottleneck")
_INSERT = (
    f"INSERT OR IGNORE INTO row ({', '.join((*_FIELDS, *_COLUMNS))}, more, details) "
    f"VALUES ({', '.join('?' * (len(_FIELDS) + len(_COLUMNS) + 2))})"
)
_SELECT = f"SELECT {', '.join((*_FIELDS, *_COLUMNS))}, more, details FROM row"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One evaluation as it went: where, how long, and the limit that was hit, if one was."""

    key: bytes
    host: str
    wall_s: float
    outcome: str
    limit: str = ""


class Store:
    """An open store; a context manager."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._db = connection
        self.path = path

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> Store:
        """Open a store, or make one where there is no file. ``:memory:`` makes one that is kept nowhere.

        Raises:
            InputError: not a store, one of a newer Siloom, damaged, in use, or in a place that cannot be written.
        """
        in_memory = str(path) == ":memory:"
        if not in_memory:
            _look_at(path, read_only)
        with _told(path):
            name = ":memory:" if in_memory else f"{path.resolve().as_uri()}?{_how(path, read_only)}"
            # The driver runs in one thread, and the command line's main thread only waits for it.
            db = sqlite3.connect(
                name, uri=not in_memory, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
            )
            try:
                _patiently(db, lambda: _prepare(db, path, read_only=read_only, in_memory=in_memory))
            except BaseException:
                db.close()
                raise
        return cls(db, path)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *about: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the last one to do so writes the log into it."""
        with _told(self.path):
            self._db.close()

    def add(self, rows: Sequence[Row], attempts: Sequence[Attempt] = ()) -> None:
        """Keep rows, and how their evaluations went: all or, where this raises, none.

        Rows whose key is there already are left as they are.

        Raises:
            InputError: the disk is full or cannot be written.
        """
        records = [_record(row) for row in rows]
        with self._transaction():
            self._db.executemany(_INSERT, records)
            self._db.executemany(
                "INSERT INTO attempt VALUES (?, ?, ?, ?, ?)",
                [(a.key, a.host, a.wall_s, a.outcome, a.limit) for a in attempts],
            )

    def attempts(self) -> list[Attempt]:
        """How evaluations went, in the order in which they ended."""
        with _told(self.path):
            found = self._db.execute("SELECT key, host, wall_s, outcome, hit FROM attempt ORDER BY rowid").fetchall()
        return [Attempt(key=k, host=h, wall_s=w, outcome=o, limit=hit) for k, h, w, o, hit in found]

    def note_space(self, name: str, document: Any) -> None:
        """Keep what was asked for, once.

        Raises:
            InputError: the disk is full or cannot be written.
        """
        with self._transaction():
            self._db.execute("INSERT OR IGNORE INTO space VALUES (?, ?)", (name, canonical(document)))

    def spaces(self) -> list[tuple[str, Any]]:
        """Names and documents of the spaces that were explored, in the order of their texts."""
        with _told(self.path):
            found = self._db.execute("SELECT name, document FROM space ORDER BY document").fetchall()
        return [(name, json.loads(document)) for name, document in found]

    def has(self, keys: Sequence[bytes]) -> set[bytes]:
        """Which of these keys have rows."""
        found: set[bytes] = set()
        with _told(self.path):
            for part in _parts(keys):
                marks = ",".join("?" * len(part))
                found.update(key for (key,) in self._db.execute(f"SELECT key FROM row WHERE key IN ({marks})", part))
        return found

    def rows(self, keys: Sequence[bytes] | None = None) -> Iterator[Row]:
        """Rows in the order of their keys: all, or those of ``keys`` that are there."""
        with _told(self.path):
            if keys is None:
                yield from map(_row, self._db.execute(f"{_SELECT} ORDER BY key"))
                return
            for part in _parts(sorted(keys)):
                marks = ",".join("?" * len(part))
                yield from map(_row, self._db.execute(f"{_SELECT} WHERE key IN ({marks}) ORDER BY key", part))

    def find(self, prefix: str) -> list[Row]:
        """Rows whose key begins with these hexadecimal digits, at most three."""
        with _told(self.path):
            found = self._db.execute(
                f"{_SELECT} WHERE hex(key) LIKE ? ORDER BY key LIMIT 3", (f"{prefix.upper()}%",)
            ).fetchall()
        return [_row(one) for one in found]

    def counts(self) -> dict[str, int]:
        """Rows by status."""
        with _told(self.path):
            return dict(self._db.execute("SELECT status, count(*) FROM row GROUP BY status ORDER BY status"))

    def front(self, objectives: Sequence[Metric], *, fidelity: str | None = None) -> list[Row]:
        """The valid rows that no other is better than in every objective, by the first objective, then by key."""
        valid, given = "status = 'ok'", list[Any]()
        if fidelity is not None:
            valid, given = f"{valid} AND fidelity = ?", [fidelity]
        names = [f"objective{n}" for n in range(len(objectives))]
        columns = ", ".join(f"{_column(one.name)} AS {name}" for one, name in zip(objectives, names, strict=True))
        # The limit has each column read once, however often it is compared.
        source = f"SELECT rowid, {columns} FROM row WHERE {valid} LIMIT -1"
        signs = np.array([-1.0 if metric.more_is_better else 1.0 for metric in objectives])
        with _told(self.path):
            last = self._db.execute("SELECT max(rowid) FROM row").fetchone()[0] or 0
            some = json.dumps([1 + last * n // _SAMPLED for n in range(_SAMPLED)])
            sampled = source.replace(valid, f"{valid} AND rowid IN (SELECT value FROM json_each(?))")
            sample = self._numbers(sampled, [*given, some], len(objectives))[:, 1:]
            # Most rows are far from the front: SQLite leaves them out without making a Python object of each.
            tests = []
            for point in pruners(sample * signs, _PRUNERS) * signs:
                worse = [f"{name} {'<=' if sign < 0 else '>='} ?" for name, sign in zip(names, signs, strict=True)]
                equal = [f"{name} = ?" for name in names]
                tests.append(f"NOT ({' AND '.join(worse)} AND NOT ({' AND '.join(equal)}))")
                given += [*point.tolist(), *point.tolist()]
            pruned = f"SELECT * FROM ({source}) WHERE {' AND '.join(tests) or 'TRUE'}"
            table = self._numbers(pruned, given, len(objectives))
            values = table[:, 1:] * signs
            keep = front(values)
            best = {int(rowid): value.tolist() for rowid, value in zip(table[keep, 0], values[keep], strict=True)}
            rows = [
                (best[rowid], _row(self._db.execute(f"{_SELECT} WHERE rowid = ?", (rowid,)).fetchone()))
                for rowid in best
            ]
        return [row for _, row in sorted(rows, key=lambda pair: (pair[0], pair[1].key))]

    def _numbers(self, query: str, given: Sequence[Any], count: int) -> NDArray[np.float64]:
        """Row numbers and ``count`` metrics [rows, 1 + count]; what is missing becomes NaN, which is on no front."""
        found = itertools.chain.from_iterable(self._db.execute(query, given))
        return np.fromiter(found, dtype=np.float64).reshape(-1, 1 + count)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _told(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


def _how(path: Path, read_only: bool) -> str:
    """How SQLite opens the file. Where nothing can be written it must not look for a log that is not there."""
    if not read_only:
        return "mode=rwc"
    if os.access(path.parent, os.W_OK):
        return "mode=rw"  # a reader takes part in the log's locks; it is kept from writing by query_only
    log = path.with_name(f"{path.name}-wal")
    return "mode=ro" if log.exists() and log.stat().st_size else "mode=ro&immutable=1"


def _look_at(path: Path, read_only: bool) -> None:
    """Refuse what is not a file, and what SQLite would take for an empty store though it is something else."""
    try:
        if path.is_dir():
            raise InputError(f"{path}: is a folder, not a store")
        if not path.exists():
            if read_only:
                raise InputError(f"{path}: no such store")
            if not path.parent.is_dir():
                raise InputError(f"{path}: the folder {path.parent} does not exist")
            return
        if not path.is_file():
            raise InputError(f"{path}: is not a regular file")
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise InputError(f"{str(path)[:200]}: cannot be read: {error.strerror}") from None
    if size and head != b"SQLite format 3\0":
        raise InputError(f"{path}: is not a store of siloom explore")


def _prepare(db: sqlite3.Connection, path: Path, *, read_only: bool, in_memory: bool) -> None:
    """Set the ways of writing; make the tables of a new store; refuse what is not ours."""
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if tables and application != _APPLICATION:
        raise InputError(f"{path}: is a database, but not a store of siloom explore")
    if version > SCHEMA:
        raise InputError(f"{path}: was written by a newer Siloom (store version {version}, here {SCHEMA})")
    if read_only:
        db.execute("PRAGMA query_only = ON")
        if not tables:
            raise InputError(f"{path}: is empty, not a store")
        return
    if not in_memory:
        mode = "DELETE" if is_network(path.parent) else "WAL"
        db.execute(f"PRAGMA journal_mode = {mode}")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("BEGIN IMMEDIATE")
    # Two processes may have come here at once: the second finds the tables of the first.
    if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        for statement in _TABLES.split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {_APPLICATION}")
        db.execute(f"PRAGMA user_version = {SCHEMA}")
    db.execute("COMMIT")


def _patiently(db: sqlite3.Connection, work: Callable[[], None]) -> None:
    """Do what SQLite refuses at once, without waiting, while another process opens or closes: again, for a while."""
    end = time.monotonic() + _WAIT_S
    while True:
        try:
            work()
            return
        except sqlite3.OperationalError as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(_RETRY_S)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say what SQLite says as one line about the store."""
    try:
        yield
    except sqlite3.Error as error:
        said = " ".join(str(error).split())
        words = {
            "database or disk is full": "the disk is full; every row before is kept",
            "attempt to write a readonly database": "cannot be written: the file or its folder is read-only",
            "unable to open database file": "cannot be opened or made here",
            "database is locked": f"another process has been writing for {_WAIT_S:.0f} s; try again behind it",
            "disk I/O error": "the disk cannot be written or read",
        }
        told = next((better for theirs, better in words.items() if theirs in said), f"is damaged: {said}")
        raise InputError(f"{path}: {told}") from None
    except (zlib.error, TypeError, ValueError) as error:  # what bytes that changed on disk happen to mean
        raise InputError(f"{path}: is damaged: {' '.join(str(error).split())}") from None


def _parts(keys: Sequence[bytes]) -> Iterable[list[bytes]]:
    return (list(keys[start : start + _LOOK_UP]) for start in range(0, len(keys), _LOOK_UP))


def _column(name: str) -> str:
    """A metric in SQL; only known names come here."""
    assert name in METRICS
    return name if name in _COLUMNS else f"json_extract(more, '$.{name}')"


def _record(row: Row) -> tuple[Any, ...]:
    metrics = dict(row.metrics)
    own = [metrics.pop(name, None) for name in _COLUMNS]
    texts = (row.workload, row.fidelity, row.status, row.reason, row.message, row.bottleneck)
    # Level 1 is five times as fast as the default for a tenth more bytes.
    details = zlib.compress(row.details.encode(), 1)
    # Settings keep the order of their space, which texts and tables show them in.
    settings = json.dumps(row.settings, separators=(",", ":"), allow_nan=False)
    return (row.key, row.machine, settings, *texts, *own, canonical(metrics), details)


def _row(record: Sequence[Any]) -> Row:
    fields = dict(zip(_FIELDS, record, strict=False))
    own = {name: value for name, value in zip(_COLUMNS, record[len(_FIELDS) :], strict=False) if value is not None}
    more, details = record[-2:]
    if type(fields["key"]) is not bytes or any(type(fields[name]) is not str for name in _FIELDS[1:]):
        raise TypeError("a row has values of other types than were written")
    if fields["status"] not in STATUSES or any(type(value) is not float for value in own.values()):
        raise ValueError("a row has a status or a metric that is none")
    return Row(
        **{**fields, "settings": dict(json.loads(fields["settings"]))},
        metrics={**own, **json.loads(more)},
        details=zlib.decompress(details).decode(),
    )
