"""One stand-alone HTML page of results, as of :mod:`siloom.reports.html`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from siloom.reports import bars
from siloom.reports.activity import activity
from siloom.reports.chart import Chart
from siloom.reports.comparison import Speedups, cautions, comparison_table, headline, quality_table, summary, work_table
from siloom.reports.details import details
from siloom.reports.files import csv_text, write_whole
from siloom.reports.html import render, script_safe
from siloom.reports.load import load_comparison, load_results
from siloom.reports.roofline import roofline
from siloom.reports.text import labels, printable, shorten
from siloom.sim.errors import UsageError
from siloom.sim.result import Result

__all__ = ["load_comparison", "load_results", "write_page"]

OPEN_DETAILS = 3
"""So many machines' heat maps and details are open at first; others are drawn when opened."""


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
    table = comparison_table(names, results, speedups)
    workloads = list(dict.fromkeys(r.workload for r in results))
    return render(
        "page.html.j2",
        scripts=["page.js"],
        styles=["page.css"],
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
        figures=script_safe({c.key: _figure(c) for c in every}),
    )


def _figure(chart: Chart) -> dict[str, Any]:
    """What the page's script needs to draw a chart, in either view."""
    figure: dict[str, Any] = {"data": chart.traces, "layout": chart.layout}
    if chart.share_title:
        figure["share"] = chart.share_title
    return figure


def _few(texts: Sequence[str]) -> str:
    shown = ", ".join(shorten(printable(t), 60) for t in texts[:5])
    return shown if len(texts) <= 5 else f"{shown} and {len(texts) - 5} more"
