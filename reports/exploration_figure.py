"""Figures of explorations for a paper: the front, and hypervolume against evaluations, each with its data as CSV.

Equal inputs give equal bytes, as in :mod:`siloom.reports.figure`.
"""

from __future__ import annotations

import io
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from siloom.explore.front import Step
from siloom.explore.metrics import Metric, metric
from siloom.explore.pareto import front
from siloom.explore.row import Row
from siloom.reports.chart import PALETTE, amount
from siloom.reports.figure import METADATA, STYLE
from siloom.reports.files import csv_text, write_whole
from siloom.reports.text import printable, shorten, si
from siloom.sim.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

_SPREAD = 5.0
"""Largest over smallest beyond which an axis is logarithmic."""
NEAR = 0.95
"""The share of the front's hypervolume at which a search is said to have come near it."""


def write_front_figure(rows: Sequence[Row], out: Path, objectives: Sequence[str], title: str = "") -> Path:
    """Draw the first two objectives of all rows to ``out`` and write them beside it as ``.csv``; returns ``out``.

    Raises:
        UsageError: fewer than two objectives, no row that has them, or another suffix than .pdf, .svg and .png.
        InputError: a file cannot be written.
    """
    suffix = _suffix(out)
    if len(objectives) < 2:
        raise UsageError("a figure of a front needs two objectives, got one")
    judged = [metric(name) for name in objectives[:2]]
    known = [row for row in rows if all(m.name in row.metrics for m in judged)]
    if not known:
        raise UsageError(f"a figure of a front needs a point with {judged[0].name} and {judged[1].name}, got none")
    valid = [row for row in known if row.status == "ok"]
    best = _best(valid, judged)
    table = [
        [row.key.hex(), row.design, row.status, int(row.key in best), *(row.metrics[m.name] for m in judged)]
        for row in known
    ]
    columns = ["key", "design", "status", "front", *(m.name for m in judged)]

    def draw(axes: Axes) -> None:
        groups: tuple[tuple[str, list[Row], dict[str, Any]], ...] = (
            (
                "breaks a constraint",
                [row for row in known if row.status != "ok"],
                {"color": "#c9ced4", "marker": "x", "s": 8},
            ),
            ("dominated", [row for row in valid if row.key not in best], {"color": "#8fb8d6", "s": 8}),
            ("front", [row for row in valid if row.key in best], {"color": PALETTE[0], "s": 16, "zorder": 3}),
        )
        for name, members, looks in groups:
            if members:
                x, y = ([row.metrics[m.name] for row in members] for m in judged)
                axes.scatter(x, y, label=name, linewidths=0.6, **looks)
        line = sorted((row.metrics[judged[0].name], row.metrics[judged[1].name]) for row in valid if row.key in best)
        axes.plot(*zip(*line, strict=True), color=PALETTE[0], linewidth=0.8) if line else None
        for m, direction, set_scale, set_label in (
            (judged[0], axes.xaxis, axes.set_xscale, axes.set_xlabel),
            (judged[1], axes.yaxis, axes.set_yscale, axes.set_ylabel),
        ):
            sizes = [row.metrics[m.name] for row in known]
            logarithmic = min(sizes) > 0 and max(sizes) / min(sizes) > _SPREAD
            if logarithmic:
                set_scale("log")
            _ticks(direction, m, logarithmic)
            set_label(f"{m.short}{', logarithmic' if logarithmic else ''}")
        axes.legend(loc="upper right", frameon=False, fontsize=7)

    return _written(out, suffix, title, draw, columns, table)


def _ticks(direction: Axis, judged: Metric, logarithmic: bool) -> None:
    """Plain texts with units; Matplotlib's own need the mathematics that names must not have."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if logarithmic:
        direction.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        direction.set_minor_formatter(NullFormatter())
    direction.set_major_formatter(FuncFormatter(lambda value, _: _said(value, judged.unit)))


def _said(value: float, unit: str) -> str:
    return amount(value, "mm²") if unit == "mm2" else si(value, unit) if unit else f"{value:g}"


def _best(valid: Sequence[Row], judged: Sequence[Metric]) -> set[bytes]:
    if not valid:
        return set()
    signs = np.array([-1.0 if m.more_is_better else 1.0 for m in judged])
    kept = front(np.array([[row.metrics[m.name] for m in judged] for row in valid]) * signs)
    return {row.key for row, keep in zip(valid, kept, strict=True) if keep}


def write_hypervolume_figure(steps: Sequence[Step], out: Path, title: str = "") -> Path:
    """Draw each search's hypervolume over its seeds (median, and the band from least to most); returns ``out``.

    The legend says at how many evaluations the median seed first reached 95 % of the front's hypervolume.

    Raises:
        UsageError: no step, or another suffix than .pdf, .svg and .png.
        InputError: a file cannot be written.
    """
    suffix = _suffix(out)
    if not steps:
        raise UsageError("a figure of searches needs their history, got none")
    searches = list(dict.fromkeys(step.search for step in steps))

    def draw(axes: Axes) -> None:
        for colour, search in zip(PALETTE, searches, strict=False):
            own = [step for step in steps if step.search == search]
            marks = sorted({step.evaluations for step in own})
            at = {mark: [s.hypervolume for s in own if s.evaluations == mark] for mark in marks}
            near = reached(own)
            said = f"95 % at {near:,}" if near is not None else "95 % not reached"
            axes.plot(
                marks,
                [statistics.median(at[mark]) for mark in marks],
                color=colour,
                linewidth=1.2,
                label=f"{shorten(printable(search), 30)} ({said})",
            )
            low, high = ([pick(at[mark]) for mark in marks] for pick in (min, max))
            axes.fill_between(marks, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.axhline(NEAR, color="#8a94a0", linewidth=0.6, linestyle="--")
        axes.set_xlabel("evaluations")
        axes.set_ylabel("hypervolume over that of the front")
        axes.set_ylim(0, 1.03)
        axes.legend(loc="lower right", frameon=False, fontsize=7)

    table = [[s.search, s.seed, s.evaluations, s.hypervolume] for s in steps]
    return _written(out, suffix, title, draw, ["search", "seed", "evaluations", "hypervolume"], table)


def reached(steps: Iterable[Step], share: float = NEAR) -> int | None:
    """Evaluations at which one search's median seed first had ``share`` of the hypervolume; None if it never did."""
    first: dict[int, float] = {}
    for step in sorted(steps, key=lambda s: (s.seed, s.evaluations)):
        first.setdefault(step.seed, np.inf)
        if step.hypervolume >= share:
            first[step.seed] = min(first[step.seed], step.evaluations)
    median = statistics.median_high(sorted(first.values()))
    return None if np.isinf(median) else int(median)


def _suffix(out: Path) -> str:
    suffix = out.suffix.lower()
    if suffix not in METADATA:
        raise UsageError(f"figure '{out}': the name must end in .pdf, .svg or .png")
    return suffix


def _written(
    out: Path, suffix: str, title: str, draw: Any, columns: Sequence[str], table: Sequence[Sequence[Any]]
) -> Path:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(cast("Any", STYLE)):
        figure: Figure = Figure(figsize=(4.2, 3.0), layout="constrained")
        draw(figure.subplots())
        if title:
            figure.suptitle(shorten(printable(title), 80), fontsize=8)
        buffer = io.BytesIO()
        figure.savefig(buffer, format=suffix[1:], dpi=200, metadata=dict(METADATA[suffix]))
    write_whole(out.with_suffix(".csv"), csv_text(columns, table).encode())
    return write_whole(out, buffer.getvalue())
