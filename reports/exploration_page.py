"""One stand-alone HTML page of an exploration: its front, why, and every point in a table.

As the page of results it opens offline and runs its own scripts only, named by their hashes; all that comes from
files, machines and workloads is data in one JSON element and reaches the document as text. Equal inputs give equal
bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from siloom.explore.front import Step
from siloom.explore.importance import importance
from siloom.explore.metrics import METRICS, Metric, metric
from siloom.explore.pareto import front
from siloom.explore.row import Row
from siloom.reports.chart import PALETTE
from siloom.reports.exploration_table import columns
from siloom.reports.files import write_whole
from siloom.reports.text import printable
from siloom.sim.errors import UsageError

MOST_ROWS = 20_000
MOST_DETAILS = 500
_TEMPLATES = Path(__file__).parent / "templates"


def write_exploration_page(
    rows: Sequence[Row],
    out: Path,
    *,
    title: str,
    objectives: Sequence[str],
    history: Sequence[Step] = (),
    notes: Sequence[str] = (),
) -> Path:
    """Write the page of ``rows`` to ``out`` and return ``out``.

    A page holds 20,000 rows, and the details of the front and 500 others; what is left out is said on it.

    Raises:
        UsageError: there is no row, or an objective is no metric.
        InputError: ``out`` cannot be written.
    """
    if not rows:
        raise UsageError("a page needs at least one point, got none")
    judged = [metric(name) for name in objectives]
    return write_whole(out, _render(rows, title, judged, history, notes).encode("utf-8", errors="replace"))


def _render(
    rows: Sequence[Row], title: str, judged: Sequence[Metric], history: Sequence[Step], notes: Sequence[str]
) -> str:
    from plotly.offline import get_plotlyjs

    best = _front(rows, judged)
    said = list(notes)
    kept = sorted(rows, key=lambda row: (row.key not in best, row.key))[:MOST_ROWS]
    if len(kept) < len(rows):
        said.append(f"The table and the chart hold the front and {len(kept) - len(best):,} of {len(rows):,} points.")
    table = columns(kept)
    details = _details(kept, best)
    if len(details) < len(kept):
        said.append(f"Stalls and parts of energy are here for {len(details):,} points; siloom store explain has all.")
    counts = Counter(row.status for row in rows)
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    scripts = [get_plotlyjs().replace("\r\n", "\n"), (_TEMPLATES / "exploration.js").read_text(encoding="utf-8")]
    data = {
        "objectives": [m.name for m in judged],
        "metrics": {m.name: {"unit": m.unit, "more": m.more_is_better} for m in METRICS.values()},
        "table": table,
        "front": sorted(best_key.hex() for best_key in best),
        "details": details,
        "history": [[s.search, s.seed, s.evaluations, s.hypervolume] for s in history],
        "importance": {m.name: importance(rows, m.name) for m in judged},
        "palette": PALETTE,
    }
    return environment.get_template("exploration.html.j2").render(
        title=printable(title),
        headline=_headline(rows, best, judged),
        counts=[(name, f"{count:,}") for name, count in sorted(counts.items(), key=lambda pair: -pair[1])],
        reasons=[(printable(reason), f"{count:,}") for reason, count in _reasons(rows)],
        notes=[printable(note) for note in said],
        data=_script_safe(data),
        css=(_TEMPLATES / "page.css").read_text(encoding="utf-8")
        + (_TEMPLATES / "exploration.css").read_text(encoding="utf-8"),
        scripts=scripts,
        hashes=[f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts],
        has_history=bool(history),
    )


def _front(rows: Sequence[Row], judged: Sequence[Metric]) -> set[bytes]:
    valid = [row for row in rows if row.status == "ok" and all(m.name in row.metrics for m in judged)]
    if not valid:
        return set()
    signs = np.array([-1.0 if m.more_is_better else 1.0 for m in judged])
    values = np.array([[row.metrics[m.name] for m in judged] for row in valid]) * signs
    return {row.key for row, kept in zip(valid, front(values), strict=True) if kept}


def _headline(rows: Sequence[Row], best: set[bytes], judged: Sequence[Metric]) -> str:
    names = " and ".join(m.short for m in judged)
    valid = sum(row.status == "ok" for row in rows)
    return f"{len(best):,} of {len(rows):,} points are on the front of {names}; {valid:,} are valid."


def _reasons(rows: Sequence[Row]) -> list[tuple[str, int]]:
    counts = Counter(row.reason for row in rows if row.status != "ok")
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def _details(kept: Sequence[Row], best: set[bytes]) -> dict[str, Any]:
    """The details of the front and the first others, and the line that runs each again."""
    out: dict[str, Any] = {}
    for row in kept:
        if len(out) >= len(best) + MOST_DETAILS:
            break
        found = json.loads(row.details) if row.details else {"workloads": []}
        for work in found["workloads"]:
            work["again"] = f"siloom run {shlex.quote(row.design)} {shlex.quote(work['name'])}"
        out[row.key.hex()] = found
    return out


def _script_safe(value: object) -> str:
    """JSON that cannot end the script element it stands in; columns keep their order."""
    return (
        json.dumps(value, allow_nan=False, separators=(",", ":"))
        .replace("&", "\\u0026")
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
    )
