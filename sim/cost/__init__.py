"""Cost tables: energy, area and device figures as data, each row with its unit and source.

Code holds no second copy of a number that stands in a table. A table is ``<name>.csv`` beside this
file with the columns ``owner,name,value,unit,source,status`` and, where they say something,
``node`` (nm), ``condition`` and ``page``; lines that begin with # are comments. A row's ``status``
says how far it may be trusted; see :class:`siloom.sim.design.Parameter`. What is computed from them
for any node, size or format is in the modules beside the tables: :mod:`arithmetic`, :mod:`sram`,
:mod:`dram_energy` and :mod:`scaling`.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from siloom.sim.design import Status, parameter

_FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Entry:
    """One number of a table and how far it may be trusted.

    ``node_nm``, ``condition`` (supply, width, load) and ``page`` of the source stand where they are known.
    """

    value: float
    unit: str
    source: str
    status: Status
    node_nm: float | None = None
    condition: str = ""
    page: str = ""


@lru_cache
def table(name: str) -> dict[tuple[str, str], Entry]:
    """The rows of ``<name>.csv`` by (owner, name).

    Raises:
        FileNotFoundError: no such table.
        ValueError: a row that stands twice.
    """
    lines = (_FOLDER / f"{name}.csv").read_text(encoding="utf-8").splitlines()
    out: dict[tuple[str, str], Entry] = {}
    for row in csv.DictReader(line for line in lines if not line.startswith("#")):
        key = (row["owner"], row["name"])
        if key in out:
            raise ValueError(f"{name}.csv: {key[0]}, {key[1]} stands twice")
        out[key] = Entry(
            value=float(row["value"]),
            unit=row["unit"],
            source=row["source"],
            status=cast("Status", row["status"]),
            node_nm=float(row["node"]) if row.get("node") else None,
            condition=row.get("condition") or "",
            page=row.get("page") or "",
        )
    return out


@lru_cache
def table_hash(name: str) -> str:
    """Version of a table: the hash of its text (16 hex digits)."""
    return hashlib.blake2b((_FOLDER / f"{name}.csv").read_bytes(), digest_size=8).hexdigest()


def from_table(name: str, owner: str, field: str, *, whole: bool = False, **about: Any) -> Any:
    """A design field whose default, unit, source and status are those of a table's row."""
    entry = table(name)[owner, field]
    default = int(entry.value) if whole else entry.value
    return parameter(default, unit=entry.unit, source=entry.source, status=entry.status, **about)
