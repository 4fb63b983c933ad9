"""Figures of explorations for a paper: the front, and hypervolume against evaluations, each with its data as CSV.

Equal inputs give equal bytes, as in :mod:`siloom.reports.figure`.
"""

from __future__ import annotations

import io
import math
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from siloom.explore.front import Step
from siloom.explore.metrics import Metric, metric
from siloom.explore.row import Row
from siloom.reports.chart import PALETTE
from siloom.reports.exploration_front import front_keys
from siloom.reports.figure import METADATA, STYLE
from siloom.reports.files import csv_text, write_whole
from siloom.reports.text import prefix_for, printable, shorten
from siloom.sim.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

_SPREAD = 5.0
"""Largest over smallest beyond which an axis is logarithmic."""
_PARTS = ((30.0, (1.0, 2.0, 3.0, 5.0, 7.0)), (2000.0, (1.0, 2.0, 5.0)), (math.inf, (1.0,)))
"""The marks of each decade on a logarithmic axis whose ends are less than so many times apart."""
_MARGIN = 0.05
_MOST_VECTORS = 5000
"""Points of a kind beyond which a PDF holds them as a picture: it would take minutes to draw."""
_DASHES = ("-", "--", ":", "-.")
GREY, LIGHT = "#b4bcc5", "#8fb8d6"
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
    best = front_keys(known, judged)
    table = [
        [
            row.key.hex(),
            row.design,
            row.fidelity,
            row.status,
            int(row.key in best),
            *(row.metrics[m.name] for m in judged),
        ]
        for row in known
    ]
    columns = ["key", "design", "fidelity", "status", "front", *(m.name for m in judged)]
    return _written(out, suffix, title, lambda axes: _draw_front(axes, known, best, judged), columns, table)


def _draw_front(axes: Axes, known: Sequence[Row], best: set[bytes], judged: Sequence[Metric]) -> None:
    """The valid points fill the axes; what breaks a constraint is drawn where it falls into them."""
    valid = [row for row in known if row.status == "ok"]
    groups: tuple[tuple[str, list[Row], dict[str, Any]], ...] = (
        ("breaks a constraint", [row for row in known if row.status != "ok"], {"color": GREY, "marker": "x", "s": 8}),
        ("dominated", [row for row in valid if row.key not in best], {"color": LIGHT, "s": 7}),
        ("front", [row for row in valid if row.key in best], {"color": PALETTE[0], "s": 14, "zorder": 3}),
    )
    for name, members, looks in groups:
        if members:
            x, y = ([row.metrics[m.name] for row in members] for m in judged)
            axes.scatter(x, y, label=name, linewidths=0.6, rasterized=len(members) > _MOST_VECTORS, **looks)
    for fidelity in sorted({row.fidelity for row in valid}):
        line = sorted(
            (row.metrics[judged[0].name], row.metrics[judged[1].name])
            for row in valid
            if row.key in best and row.fidelity == fidelity
        )
        # A step, not a slope: between two designs there is none.
        style = "steps-pre" if judged[0].more_is_better else "steps-post"
        axes.plot(*zip(*line, strict=True), color=PALETTE[0], linewidth=0.8, drawstyle=style) if line else None
    for m, which, bounded in ((judged[0], "x", axes.set_xlim), (judged[1], "y", axes.set_ylim)):
        every = [row.metrics[m.name] for row in known]
        sizes = [row.metrics[m.name] for row in valid] or every
        logarithmic = min(every) > 0 and max(sizes) / min(sizes) > _SPREAD
        axes.set(**{f"{which}scale": "log" if logarithmic else "linear", f"{which}label": _label(m)})
        bounded(*_room(min(sizes), max(sizes), logarithmic))
        _ticks(axes.xaxis if which == "x" else axes.yaxis, m.unit, logarithmic=logarithmic)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=7, borderaxespad=0.2)


def _room(low: float, high: float, logarithmic: bool) -> tuple[float, float]:
    """The limits of an axis that leaves a margin around its points."""
    if logarithmic:
        ratio = (high / low) ** _MARGIN
        return low / ratio, high * ratio
    room = _MARGIN * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def _label(judged: Metric) -> str:
    return f"{judged.short} ({'more' if judged.more_is_better else 'less'} is better)"


def _ticks(direction: Axis, unit: str, *, logarithmic: bool) -> None:
    """Plain texts with units; Matplotlib's own need the mathematics that names must not have."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    if logarithmic:
        low, high = direction.get_view_interval()
        steps = next(parts for most, parts in _PARTS if high / low < most)
        direction.set_major_locator(LogLocator(subs=steps))
        direction.set_minor_formatter(NullFormatter())
    else:
        direction.set_major_locator(MaxNLocator(5))
    direction.set_major_formatter(FuncFormatter(lambda value, _: quantity(value, unit)))


def quantity(value: float, unit: str) -> str:
    """A metric's value as readers see it, without zeros that say nothing: ``2 ms``, ``1,500 mm²``."""
    if unit and unit != "mm2":
        factor, prefix = prefix_for(float(f"{value:.4g}"))
        return f"{value / factor:.4g} {prefix}{unit}"
    text = f"{float(f'{value:.4g}'):,g}"
    return f"{text} mm²" if unit else text


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
        for number, search in enumerate(searches):
            colour = PALETTE[number % len(PALETTE)]
            own = [step for step in steps if step.search == search]
            marks = sorted({step.evaluations for step in own})
            at = {mark: [s.hypervolume for s in own if s.evaluations == mark] for mark in marks}
            near = reached(own)
            said = f"95 % at {near:,}" if near is not None else "95 % not reached"
            axes.plot(
                marks,
                [statistics.median(at[mark]) for mark in marks],
                color=colour,
                linestyle=_DASHES[number % len(_DASHES)],
                linewidth=1.2,
                label=f"{shorten(printable(search), 30)} ({said})",
            )
            low, high = ([pick(at[mark]) for mark in marks] for pick in (min, max))
            axes.fill_between(marks, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.axhline(NEAR, color="#8a94a0", linewidth=0.6, linestyle="--")
        axes.set_xscale("log")  # half as many evaluations are everywhere as far apart
        _ticks(axes.xaxis, "", logarithmic=True)
        axes.set_xlabel("points evaluated")
        axes.set_ylabel("hypervolume over that of the front")
        axes.set_xlim(left=1)
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
