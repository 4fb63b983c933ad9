"""A figure for a paper: time of every machine and its speed-ups, as PDF, SVG or PNG, with its data.

Modelled, measured and published results differ by colour and hatching and are named in the legend.
Equal inputs give equal bytes: no dates, and SVG ids from a fixed salt.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from siloom.reports.chart import PALETTE
from siloom.reports.comparison import Speedups, baselines, summary
from siloom.reports.files import csv_text, write_whole
from siloom.reports.text import digits, labels, prefix_for, printable, shorten, si
from siloom.sim.errors import UsageError
from siloom.sim.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METADATA: Mapping[str, Mapping[str, Any]] = {
    ".pdf": {"CreationDate": None, "Creator": "siloom", "Producer": None},
    ".svg": {"Date": None, "Creator": "siloom"},
    ".png": {"Software": None},
}
_HATCH = {"modelled": "", "measured": "///", "published": "..."}
STYLE = {
    "font.size": 8,
    "text.parse_math": False,  # a name with dollar signs is a name
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.6,
    "pdf.fonttype": 42,
    "svg.hashsalt": "siloom",
}


def write_figure(results: Sequence[Result], out: Path, speedups: Speedups | None = None) -> Path:
    """Draw ``results`` to ``out`` and write the numbers beside it as ``.csv``; returns ``out``.

    ``speedups`` is as in :func:`siloom.reports.page.write_page`; without it only times are drawn.

    Raises:
        UsageError: no result, or a suffix other than .pdf, .svg and .png.
        InputError: a file cannot be written.
    """
    suffix = out.suffix.lower()
    if suffix not in METADATA:
        raise UsageError(f"figure '{out}': the name must end in .pdf, .svg or .png")
    if not results:
        raise UsageError("a figure needs at least one result, got none")
    names = labels(results)
    picture = _draw(names, results, speedups or {}, suffix)
    write_whole(out.with_suffix(".csv"), csv_text(*summary(names, results, speedups or {})).encode())
    return write_whole(out, picture)


def _draw(names: Sequence[str], results: Sequence[Result], speedups: Speedups, suffix: str) -> bytes:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    against = baselines(names, speedups)
    height = 0.9 + 0.24 * len(results) * max(1.0, 0.55 * len(against))
    with rc_context(cast("Any", STYLE)), warnings.catch_warnings():
        # a name in a script that the font lacks is drawn as boxes
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        panels = 2 if against else 1
        figure = Figure(figsize=(3.6 * panels, min(height, 200.0)), layout="constrained")
        axes = figure.subplots(1, panels, sharey=True, squeeze=False)[0]
        _times(axes[0], results)
        if against:
            _ratios(axes[1], names, results, speedups, against)
        axes[0].set_yticks(range(len(names)), [shorten(n, 32) for n in names])
        axes[0].set_ylim(len(names) - 0.5, -0.5)
        axes[0].tick_params(axis="y", length=0)
        figure.suptitle(_title(results), fontsize=8)
        buffer = io.BytesIO()
        figure.savefig(buffer, format=suffix[1:], dpi=200, metadata=dict(METADATA[suffix]))
    return buffer.getvalue()


def _times(axes: Axes, results: Sequence[Result]) -> None:
    """Time on a logarithmic axis; a result without time has no bar."""
    for kind, colour in zip(_HATCH, PALETTE, strict=False):
        rows = [(i, r) for i, r in enumerate(results) if r.kind == kind and r.seconds > 0]
        if not rows:
            continue
        drawn = axes.barh(
            [i for i, _ in rows],
            [r.seconds for _, r in rows],
            height=0.66,
            hatch=_HATCH[kind],
            label=kind,
            facecolor="white" if _HATCH[kind] else colour,
            edgecolor=colour,
        )
        axes.bar_label(drawn, [si(r.seconds, "s") for _, r in rows], padding=2, fontsize=7)
    known = [r.seconds for r in results if r.seconds > 0]
    if known:
        logarithmic(axes, min(known) / 4, max(known) * 8, partial(decade, unit="s"))
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False, fontsize=7)
    axes.set_xlabel("time, logarithmic")


def _ratios(
    axes: Axes, names: Sequence[str], results: Sequence[Result], speedups: Speedups, against: Sequence[str]
) -> None:
    """Speed-ups over each baseline, in a group of bars for each machine; bars begin at equal speed."""
    kinds = {n: r.kind for n, r in zip(names, results, strict=True)}
    thick = 0.8 / len(against)
    ratios = [speedups.get(n, {}).get(b, 0.0) for n in names for b in against]
    for k, baseline in enumerate(against):
        rows = [(i, speedups[n][baseline]) for i, n in enumerate(names) if speedups.get(n, {}).get(baseline, 0) > 0]
        kind = f" ({kinds[baseline]})" if baseline in kinds else ""
        drawn = axes.barh(
            [i + (k - (len(against) - 1) / 2) * thick for i, _ in rows],
            [ratio - 1 for _, ratio in rows],
            left=1.0,
            height=0.9 * thick,
            color=PALETTE[(k + 2) % len(PALETTE)],
            label=f"over {shorten(printable(baseline), 24)}{kind}",
        )
        axes.bar_label(drawn, [f"{digits(ratio)}×" for _, ratio in rows], padding=2, fontsize=6)
    positive = [ratio for ratio in ratios if ratio > 0]
    if positive:
        logarithmic(axes, min([*positive, 1.0]) / 4, max([*positive, 1.0]) * 4, lambda value: f"{value:g}×")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=1, frameon=False, fontsize=7)
    axes.axvline(1.0, color="#1d2733", linewidth=0.8)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("speed-up, logarithmic")


def decade(size: float, unit: str) -> str:
    """A size at a decade of a logarithmic axis, with its unit: ``10 ms``."""
    factor, prefix = prefix_for(size * 1.001)  # 1e-3 as a float may lie below a thousandth
    return f"{size / factor:g} {prefix}{unit}"


def logarithmic(axes: Axes, low: float, high: float, say: Callable[[float], str]) -> None:
    """Decades with plain texts; Matplotlib's own labels need the mathematics that names must not have."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: say(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _title(results: Sequence[Result]) -> str:
    workloads = list(dict.fromkeys(shorten(printable(r.workload), 60) for r in results))
    return workloads[0] if len(workloads) == 1 else f"{len(workloads)} workloads"
