"""One stand-alone HTML page of an exploration: its front, why, and every point in a table.

It is a page as of :mod:`siloom.reports.html`; all that comes from files, machines and workloads is data in one JSON
element and reaches the document as text.
"""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from siloom.explore.front import Step
from siloom.explore.importance import importance
from siloom.explore.metrics import METRICS, Metric, metric
from siloom.explore.row import STATUSES, Row, Status
from siloom.reports.chart import PALETTE
from siloom.reports.exploration_figure import quantity, reached
from siloom.reports.exploration_front import front_keys
from siloom.reports.exploration_table import columns
from siloom.reports.files import write_whole
from siloom.reports.html import render, script_safe
from siloom.reports.text import printable
from siloom.sim.errors import UsageError

MOST_ROWS = 20_000
MOST_DETAILS = 500
_SCRIPTS = tuple(f"exploration{part}.js" for part in ("", "_drawing", "_charts", "_parallel", "_table", "_point"))
"""In the order in which they run: the first two name what the others share."""
_COUNTED: Mapping[Status, str] = {
    "ok": "valid",
    "infeasible": "infeasible",
    "failed": "failed",
    "crashed": "crashed",
}


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
    best = front_keys(rows, judged)
    said = list(notes)
    kept = sorted(rows, key=lambda row: (row.key not in best, row.key))[:MOST_ROWS]
    if len(kept) < len(rows):
        said.append(
            f"The table and the chart hold {len(kept):,} of {len(rows):,} points, those of the front first and others "
            "as their keys fall, which is at random; counts and shares are of all."
        )
    table = columns(kept)
    details = _details(kept, best)
    if len(details) < len(kept):
        said.append(
            f"The runs of {len(details):,} points are on this page with their stalls and parts of energy and area, the "
            "front's first; siloom store explain shows those of every point."
        )
    data = {
        "objectives": [m.name for m in judged],
        "metrics": {m.name: {"unit": m.unit, "more": m.more_is_better, "short": m.short} for m in METRICS.values()},
        "table": table,
        "front": sorted(best_key.hex() for best_key in best),
        "details": details,
        "history": [[s.search, s.seed, s.evaluations, s.hypervolume] for s in history],
        "searches": [[name, reached(s for s in history if s.search == name)] for name in _searches(history)],
        "importance": _importance(rows, judged),
        "palette": PALETTE,
    }
    return render(
        "exploration.html.j2",
        scripts=_SCRIPTS,
        styles=["page.css", "exploration.css"],
        title=printable(title),
        headline=_headline(rows, best, judged),
        counts=_counts(rows),
        reasons=_reasons(rows),
        notes=[printable(note) for note in said],
        data=script_safe(data),
        has_history=bool(history),
        example=_example(table, judged),
    )


def _headline(rows: Sequence[Row], best: set[bytes], judged: Sequence[Metric]) -> str:
    names = [m.short for m in judged]
    joined = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    valid = sum(row.status == "ok" and all(m.name in row.metrics for m in judged) for row in rows)
    if not valid:
        return f"None of {len(rows):,} points is valid."
    ends = []
    for m in judged:
        values = [row.metrics[m.name] for row in rows if row.key in best]
        if values:
            ends.append(f"{m.short} {quantity(max(values) if m.more_is_better else min(values), m.unit)}")
    said = f"{len(best):,} of {valid:,} valid points are on the front of {joined}"
    return f"{said}; best on it: {', '.join(ends)}." if ends else f"{said}."


def _example(table: Mapping[str, Sequence[Any]], judged: Sequence[Metric]) -> str:
    """A filter that finds something here: the better half by an objective, and one value of a field."""
    parts = []
    known = sorted(value for value in table.get(judged[-1].name, ()) if value is not None)
    if known:
        parts.append(f"{judged[-1].name}{'>' if judged[-1].more_is_better else '<'}{known[len(known) // 2]:.3g}")
    names = list(table)
    for name in names[2 : names.index("workload")][:1]:
        parts.append(f"{name}={next(value for value in table[name] if value is not None)}")
    return printable(" ".join(parts))


def _counts(rows: Sequence[Row]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Of each fidelity its name, empty where there is one only, and how many points came to what."""
    counts = Counter((row.fidelity, row.status) for row in rows)
    fidelities = sorted({fidelity for fidelity, _ in counts})
    return [
        (
            printable(fidelity) if len(fidelities) > 1 else "",
            [(_COUNTED[status], f"{counts[fidelity, status]:,}") for status in STATUSES],
        )
        for fidelity in fidelities
    ]


def _reasons(rows: Sequence[Row]) -> list[tuple[str, str, str, str]]:
    """Status, reason, what it says of one such point, and how many there are; the most frequent first."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.status != "ok":
            groups.setdefault((row.status, row.reason), []).append(row)
    return [
        (status, printable(reason), printable(min(group, key=lambda row: row.key).message), f"{len(group):,}")
        for (status, reason), group in sorted(groups.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    ]


def _searches(history: Sequence[Step]) -> list[str]:
    return list(dict.fromkeys(step.search for step in history))


def _importance(rows: Sequence[Row], judged: Sequence[Metric]) -> dict[str, dict[str, dict[str, float]]]:
    """Fidelity -> metric -> field -> share; one fidelity at a time, since a bound's spread is not the model's."""
    fidelities = sorted({row.fidelity for row in rows})
    groups = {name: [row for row in rows if row.fidelity == name] for name in fidelities}
    return {name: {m.name: importance(group, m.name) for m in judged} for name, group in groups.items()}


def _details(kept: Sequence[Row], best: set[bytes]) -> dict[str, Any]:
    """What the rows say of their runs, of the front and of so many others, and the line that runs each again."""
    out: dict[str, Any] = {}
    for row in kept:
        if len(out) >= len(best) + MOST_DETAILS:
            break
        found = json.loads(row.details) if row.details else {"workloads": []}
        for work in found["workloads"]:
            work["again"] = f"siloom run {shlex.quote(row.design)} {shlex.quote(work['name'])}"
        out[row.key.hex()] = found
    return out
