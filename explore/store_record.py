"""The tables of a store, and rows as their records."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from typing import Any

from siloom.explore.metrics import METRICS
from siloom.explore.row import STATUSES, Row, canonical

SCHEMA = 1
APPLICATION = 0x51_4C_4F_4D
"""SQLite's place for a file's own kind."""
COLUMNS = ("seconds", "energy_j", "area_mm2", "edp_js", "accuracy", "cycles")
"""Metrics with a column of their own; the others are in one JSON text."""

TABLES = f"""
CREATE TABLE row (
  key BLOB NOT NULL UNIQUE, machine TEXT NOT NULL, settings TEXT NOT NULL, workload TEXT NOT NULL,
  fidelity TEXT NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL, message TEXT NOT NULL, bottleneck TEXT NOT NULL,
  {", ".join(f"{name} REAL" for name in COLUMNS)}, more TEXT NOT NULL, details BLOB NOT NULL
);
CREATE TABLE attempt (key BLOB NOT NULL, host TEXT NOT NULL, wall_s REAL NOT NULL, outcome TEXT NOT NULL,
  hit TEXT NOT NULL);
CREATE TABLE space (name TEXT NOT NULL, document TEXT NOT NULL UNIQUE);
"""
_FIELDS = ("key", "machine", "settings", "workload", "fidelity", "status", "reason", "message", "bottleneck")
INSERT = (
    f"INSERT OR IGNORE INTO row ({', '.join((*_FIELDS, *COLUMNS))}, more, details) "
    f"VALUES ({', '.join('?' * (len(_FIELDS) + len(COLUMNS) + 2))})"
)
SELECT = f"SELECT {', '.join((*_FIELDS, *COLUMNS))}, more, details FROM row"


def column(name: str) -> str:
    """A metric in SQL; only known names come here."""
    assert name in METRICS
    return name if name in COLUMNS else f"json_extract(more, '$.{name}')"


def record(row: Row) -> tuple[Any, ...]:
    """A row as INSERT takes it."""
    metrics = dict(row.metrics)
    own = [metrics.pop(name, None) for name in COLUMNS]
    texts = (row.workload, row.fidelity, row.status, row.reason, row.message, row.bottleneck)
    # Level 1 is five times as fast as the default for a tenth more bytes.
    details = zlib.compress(row.details.encode(), 1)
    # Settings keep the order of their space, which texts and tables show them in.
    settings = json.dumps(row.settings, separators=(",", ":"), allow_nan=False)
    return (row.key, row.machine, settings, *texts, *own, canonical(metrics), details)


def row_of(record: Sequence[Any]) -> Row:
    """A row from what SELECT gives.

    Raises:
        TypeError, ValueError: it has values that nobody wrote.
    """
    fields = dict(zip(_FIELDS, record, strict=False))
    own = {name: value for name, value in zip(COLUMNS, record[len(_FIELDS) :], strict=False) if value is not None}
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
