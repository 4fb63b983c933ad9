"""The store of an exploration: one SQLite file, from which every table, page and export comes.

What :meth:`Store.add` returned from is kept, whatever happens to the process or the power: it is one transaction,
written with ``synchronous=FULL``. A row is known by its key and never changed; adding it again does
nothing. Wall times, hosts and limits that were hit lie in a table of their own and are exported nowhere, so that equal
points make equal exports.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siloom.explore.metrics import Metric
from siloom.explore.pareto import front, pruners
from siloom.explore.row import Row, canonical
from siloom.explore.store_file import opened, told
from siloom.explore.store_record import INSERT, SELECT, column, record, row_of

_LOOK_UP = 500
_SAMPLED = 2000
_PRUNERS = 12
"""A front is asked for in two steps: so many points of so large a sample rule out most rows."""


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
        return cls(opened(path, read_only=read_only), path)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *about: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the last one to do so writes the log into it."""
        with told(self.path):
            self._db.close()

    def add(self, rows: Sequence[Row], attempts: Sequence[Attempt] = ()) -> None:
        """Keep rows, and how their evaluations went: all or, where this raises, none.

        Rows whose key is there already are left as they are.

        Raises:
            InputError: the disk is full or cannot be written.
        """
        records = [record(row) for row in rows]
        with self._transaction():
            self._db.executemany(INSERT, records)
            self._db.executemany(
                "INSERT INTO attempt VALUES (?, ?, ?, ?, ?)",
                [(a.key, a.host, a.wall_s, a.outcome, a.limit) for a in attempts],
            )

    def attempts(self) -> list[Attempt]:
        """How evaluations went, in the order in which they ended."""
        with told(self.path):
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
        with told(self.path):
            found = self._db.execute("SELECT name, document FROM space ORDER BY document").fetchall()
        return [(name, json.loads(document)) for name, document in found]

    def has(self, keys: Sequence[bytes]) -> set[bytes]:
        """Which of these keys have rows."""
        found: set[bytes] = set()
        with told(self.path):
            for part in _parts(keys):
                marks = ",".join("?" * len(part))
                found.update(key for (key,) in self._db.execute(f"SELECT key FROM row WHERE key IN ({marks})", part))
        return found

    def rows(self, keys: Sequence[bytes] | None = None) -> Iterator[Row]:
        """Rows in the order of their keys: all, or those of ``keys`` that are there."""
        with told(self.path):
            if keys is None:
                yield from map(row_of, self._db.execute(f"{SELECT} ORDER BY key"))
                return
            for part in _parts(sorted(keys)):
                marks = ",".join("?" * len(part))
                yield from map(row_of, self._db.execute(f"{SELECT} WHERE key IN ({marks}) ORDER BY key", part))

    def find(self, prefix: str) -> list[Row]:
        """Rows whose key begins with these hexadecimal digits, at most three."""
        with told(self.path):
            found = self._db.execute(
                f"{SELECT} WHERE hex(key) LIKE ? ORDER BY key LIMIT 3", (f"{prefix.upper()}%",)
            ).fetchall()
        return [row_of(one) for one in found]

    def counts(self) -> dict[str, int]:
        """Rows by status."""
        with told(self.path):
            return dict(self._db.execute("SELECT status, count(*) FROM row GROUP BY status ORDER BY status"))

    def front(self, objectives: Sequence[Metric], *, fidelity: str | None = None) -> list[Row]:
        """The valid rows that no other is better than in every objective, by the first objective, then by key."""
        valid, given = "status = 'ok'", list[Any]()
        if fidelity is not None:
            valid, given = f"{valid} AND fidelity = ?", [fidelity]
        names = [f"objective{n}" for n in range(len(objectives))]
        columns = ", ".join(f"{column(one.name)} AS {name}" for one, name in zip(objectives, names, strict=True))
        # The limit has each column read once, however often it is compared.
        source = f"SELECT rowid, {columns} FROM row WHERE {valid} LIMIT -1"
        signs = np.array([-1.0 if metric.more_is_better else 1.0 for metric in objectives])
        with told(self.path):
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
                (best[rowid], row_of(self._db.execute(f"{SELECT} WHERE rowid = ?", (rowid,)).fetchone()))
                for rowid in best
            ]
        return [row for _, row in sorted(rows, key=lambda pair: (pair[0], pair[1].key))]

    def _numbers(self, query: str, given: Sequence[Any], count: int) -> NDArray[np.float64]:
        """Row numbers and ``count`` metrics [rows, 1 + count]; what is missing becomes NaN, which is on no front."""
        found = itertools.chain.from_iterable(self._db.execute(query, given))
        return np.fromiter(found, dtype=np.float64).reshape(-1, 1 + count)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with told(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


def _parts(keys: Sequence[bytes]) -> Iterable[list[bytes]]:
    return (list(keys[start : start + _LOOK_UP]) for start in range(0, len(keys), _LOOK_UP))
