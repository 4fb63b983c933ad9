"""The file of a store: opened for reading or writing, made where there is none, refused where it is another's.

Raises (everything here):
    InputError: not a store, one of a newer Siloom, damaged, in use, or in a place that cannot be written.
"""

from __future__ import annotations

import os
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from siloom.explore.filesystem import is_network
from siloom.explore.store_record import APPLICATION, SCHEMA, TABLES
from siloom.sim.errors import InputError

_WAIT_S = 30.0
_RETRY_S = 0.02


def opened(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """The database at ``path``, with the tables of a store; ``:memory:`` is one that is kept nowhere."""
    in_memory = str(path) == ":memory:"
    if not in_memory:
        _look_at(path, read_only)
    with told(path):
        name = ":memory:" if in_memory else f"{path.resolve().as_uri()}?{_how(path, read_only)}"
        # The driver runs in one thread, and the command line's main thread only waits for it.
        db = sqlite3.connect(name, uri=not in_memory, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
        try:
            _patiently(db, lambda: _prepare(db, path, read_only=read_only, in_memory=in_memory))
        except BaseException:
            db.close()
            raise
    return db


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
    if tables and application != APPLICATION:
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
        for statement in TABLES.split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION}")
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
def told(path: Path) -> Iterator[None]:
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
