"""One stand-alone HTML page of results: opens offline, needs nothing beside itself.

Plotly's script is inlined; a content security policy lets only the page's own scripts run, named by
their hashes, and forbids every connection, so nothing that a machine's or workload's name says can
run or be fetched. Equal inputs give equal bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from siloom.reports import bars
from siloom.reports.activity import activity
from siloom.reports.chart import Chart
from siloom.reports.comparison import Speedups, cautions, comparison_table, headline, quality_table, summary, work_table
from siloom.reports.details import details
from siloom.reports.files import csv_text, write_whole
from siloom.reports.load import load_comparison, load_results
from siloom.reports.roofline import roofline
from siloom.reports.text import labels, printable, shorten
from siloom.sim.errors import UsageError
from siloom.sim.result import Result

__all__ = ["load_comparison", "load_results", "write_page"]

OPEN_DETAILS = 3
"""So many machines' heat maps and details are open at first; others are drawn when opened."""

_TEMPLATES = Path(__file__).parent / "templates"


def write_page(
    results: Sequence[Result], out: Path, *, title: str | None = None, speedups: Speedups | None = None
) -> Path:
    """Write the page of ``results`` to ``out`` and return ``out``.

    ``speedups[machine][baseline]`` is how many times as fast the machine is; machines go by the
    names of :func:`siloom.reports.text.labels`, which is their own name where that is unique.

    Raises:
        UsageError: there is no result.
        InputError: ``out`` cannot be written.
    """
    if not results:
        raise UsageError("a page needs at least one result, got none")
    return write_whole(out, _render(results, title, speedups or {}).encode("utf-8", errors="replace"))


def _render(results: Sequence[Result], title: str | None, speedups: Speedups) -> str:
    from plotly.offline import get_plotlyjs

    names = labels(results)
    charts = {
        "times": bars.times(names, results),
        "phases": bars.phases(names, results),
        "stalls": bars.stalls(names, results),
        "traffic": bars.traffic(names, results),
        "roofline": roofline(names, results),
        "energy": bars.energy(names, results),
        "area": bars.area(names, results),
    }
    active = [(n, c) for i, (n, r) in enumerate(zip(names, results, strict=True)) if (c := activity(i, n, r))]
    every = [c for c in charts.values() if c is not None] + [c for _, cs in active for c in cs]
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["csv_link"] = _csv_link
    scripts = [get_plotlyjs().replace("\r\n", "\n"), (_TEMPLATES / "page.js").read_text(encoding="utf-8")]
    table = comparison_table(names, results, speedups)
    workloads = list(dict.fromkeys(r.workload for r in results))
    return environment.get_template("page.html.j2").render(
        title=printable(title)
        if title
        else f"{_few(list(dict.fromkeys(r.machine for r in results)))} on {_few(workloads)}",
        headline=headline(names, results, speedups),
        cautions=cautions(names, results),
        table=table,
        table_csv=csv_text(*summary(names, results, speedups)),
        work=work_table(names, results),
        quality=quality_table(names, results),
        charts=charts,
        active=active,
        machines=[details(n, r) for n, r in zip(names, results, strict=True)],
        open_details=OPEN_DETAILS,
        figures=_script_safe({c.key: _figure(c) for c in every}),
        css=(_TEMPLATES / "page.css").read_text(encoding="utf-8"),
        scripts=scripts,
        hashes=[f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts],
    )


def _figure(chart: Chart) -> dict[str, Any]:
    """What the page's script needs to draw a chart, in either view."""
    figure: dict[str, Any] = {"data": chart.traces, "layout": chart.layout}
    if chart.share_title:
        figure["share"] = chart.share_title
    return figure


def _script_safe(value: object) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _csv_link(text: str) -> str:
    """A link target that holds the whole CSV file."""
    content = base64.b64encode(text.encode("utf-8", errors="replace")).decode()
    return f"data:text/csv;charset=utf-8;base64,{content}"


def _few(texts: Sequence[str]) -> str:
    shown = ", ".join(shorten(printable(t), 60) for t in texts[:5])
    return shown if len(texts) <= 5 else f"{shown} and {len(texts) - 5} more"
