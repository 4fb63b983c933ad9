"""Papers' experiments: what was published beside what is simulated.

Each file of ``experiments/`` is one paper: its function ``tables(matrices, watch)`` returns the
tables that ``siloom reproduce NAME`` prints. Published values stand in ``published/<name>.csv``.
"""

from __future__ import annotations

import csv
import importlib
import itertools
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import siloom.reports.experiments
from siloom.sim.errors import UsageError, did_you_mean

_FOLDER = Path(__file__).resolve().parent / "published"


_MOST_TABLES = 1000


@dataclass(frozen=True)
class Table:
    """Rows with the same keys, and sentences that say how to read them."""

    title: str
    rows: Sequence[Mapping[str, Any]]
    notes: Sequence[str] = ()


Experiment = Callable[[Path | None, Callable[[str], None]], Iterable[Table]]


@dataclass(frozen=True)
class Published:
    """One published number."""

    table: str
    case: str
    quantity: str
    value: float
    unit: str
    source: str
    status: str


def published(name: str) -> list[Published]:
    """The rows of ``published/<name>.csv``, comments left out."""
    lines = (_FOLDER / f"{name}.csv").read_text(encoding="utf-8").splitlines()
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    return [
        Published(
            row["table"], row["case"], row["quantity"], float(row["value"]), row["unit"], row["source"], row["status"]
        )
        for row in rows
    ]


def names() -> list[str]:
    """The papers that can be reproduced."""
    return sorted(m.name.replace("_", "-") for m in pkgutil.iter_modules(siloom.reports.experiments.__path__))


def find(papers: Sequence[str]) -> list[str]:
    """The papers named; all where none is.

    Raises:
        UsageError: an unknown paper.
    """
    known = names()
    for paper in papers:
        if paper not in known:
            raise UsageError(f"no paper '{paper}'{did_you_mean(paper, known)}")
    return list(papers) or known


def run(
    paper: str, matrices: Path | None, watch: Callable[[str], None], figure: int | None = None
) -> list[tuple[int, Table]]:
    """A paper's tables with their numbers from 1, or the one numbered ``figure``: nothing behind it is simulated.

    Raises:
        UsageError: the paper has no such table.
    """
    experiment: Experiment = importlib.import_module(f"siloom.reports.experiments.{paper.replace('-', '_')}").tables
    if figure is not None and figure < 1:
        raise UsageError(f"reproduce: --figure must be at least 1, got {figure}")
    made = list(enumerate(itertools.islice(experiment(matrices, watch), figure and min(figure, _MOST_TABLES)), start=1))
    if figure is None:
        return made
    if len(made) < figure:
        raise UsageError(f"{paper}: has tables 1 to {len(made)}, got --figure {figure}")
    return made[-1:]
