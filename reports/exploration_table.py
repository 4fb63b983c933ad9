"""Rows as open tables: a DataFrame, CSV, Parquet.

Columns: ``key``, ``machine``, one for each field, ``workload``, ``fidelity``, ``status``, ``reason``, ``message``,
``bottleneck``, one for each metric. Rows stand in one order, by fidelity, machine, fields and key, so that equal sets
of rows make equal bytes. No times, hosts or versions of the writer are in them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siloom.explore.metrics import METRICS
from siloom.explore.row import Row
from siloom.reports.files import csv_text, write_whole
from siloom.sim.errors import MissingPartError, UsageError

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".parquet")
_BEFORE = ("key", "machine")
_BEHIND = ("workload", "fidelity", "status", "reason", "message", "bottleneck")
_GROUP = 65_536


def columns(rows: Iterable[Row]) -> dict[str, list[Any]]:
    """Column -> values, in the order of the export; None where a row has no value.

    A field of the name of a metric or of another column (``cycles``, ``clock_hz``) is called ``field.NAME``.
    """
    ordered = sorted(rows, key=_place)
    fields = sorted({name for row in ordered for name in row.settings})
    metrics = [name for name in METRICS if any(name in row.metrics for row in ordered)]
    taken = {*_BEFORE, *_BEHIND, *METRICS}
    out: dict[str, list[Any]] = {
        "key": [row.key.hex() for row in ordered],
        "machine": [row.machine for row in ordered],
    }
    for name in fields:
        out[f"field.{name}" if name in taken else name] = _one_type([row.settings.get(name) for row in ordered])
    for name in _BEHIND:
        out[name] = [getattr(row, name) for row in ordered]
    for name in metrics:
        out[name] = [row.metrics.get(name) for row in ordered]
    return out


def _place(row: Row) -> tuple[Any, ...]:
    settings = tuple((name, isinstance(value, str), value) for name, value in sorted(row.settings.items()))
    return row.fidelity, row.machine, settings, row.key


def _one_type(values: Sequence[Any]) -> list[Any]:
    """Values as all whole numbers, all truths, all real numbers, or all texts: a column has one type."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) <= 1:
        return list(values)
    form: Any = float if kinds <= {int, float} else str
    return [None if value is None else form(value) for value in values]


def frame(rows: Iterable[Row]) -> pd.DataFrame:
    """The rows as a DataFrame."""
    import pandas as pd

    return pd.DataFrame(columns(rows))


def csv_bytes(rows: Iterable[Row]) -> bytes:
    """The rows as CSV."""
    table = columns(rows)
    return csv_text(list(table), zip(*table.values(), strict=True)).encode()


def parquet_bytes(rows: Iterable[Row]) -> bytes:
    """The rows as Parquet.

    Raises:
        MissingPartError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingPartError("Parquet needs pyarrow: pip install 'siloom[explore]'") from None
    table = columns(rows)
    arrays = [pa.array(values, type=pa.float64() if name in METRICS else None) for name, values in table.items()]
    out = pa.BufferOutputStream()
    pq.write_table(pa.table(arrays, names=list(table)), out, row_group_size=_GROUP, compression="zstd")
    return bytes(out.getvalue())


def export(rows: Iterable[Row], out: Path) -> Path:
    """Write the rows, whole or not at all.

    Raises:
        UsageError: a file name of another kind than :data:`SUFFIXES`.
        InputError: the file cannot be written.
        MissingPartError: pyarrow is not installed.
    """
    if out.suffix == ".csv":
        return write_whole(out, csv_bytes(rows))
    if out.suffix == ".parquet":
        return write_whole(out, parquet_bytes(rows))
    raise UsageError(f"{out}: the file's name must end in {' or '.join(SUFFIXES)}")
