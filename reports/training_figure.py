"""A figure of trained variants: held-out accuracy, or loss, against the time and energy of a step on a machine.

Every variant, an arithmetic and a method of attention, is a point on each machine; bars are the interval over seeds.
Where scores of attention were left out, a further axis is the share that was kept.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from siloom.reports.chart import PALETTE
from siloom.reports.figure import METADATA, STYLE, decade, logarithmic
from siloom.reports.files import csv_text, write_whole
from siloom.reports.text import printable, shorten
from siloom.sim.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

_COLUMNS = ("machine", "variant", "quality", "value", "low", "high", "seconds", "energy_j", "kept", "flops_share")
_AXES: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("kept", "share of scores kept", "{:g}".format),
    ("seconds", "time of {}", partial(decade, unit="s")),
    ("energy_j", "energy of {}", partial(decade, unit="J")),
)
"""Columns, their labels by what was simulated, and how a decade is said."""
_ROOM = 2.0
"""Logarithmic axes go on by this factor on both sides."""
_MARKERS = "os^Dv<>Xp"


def points(documents: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What is drawn, from documents of ``siloom train --json`` that have ``machines``."""
    rows = []
    for document in documents:
        quality = "validation_loss" if document["accuracy"] is None else "accuracy"
        low, high = document.get(f"{quality}_interval") or (None, None)
        methods = [document["arithmetic"]]
        methods += [document["attention_method"]] if document["attention_method"] != "exact" else []
        kept = sum(layer["kept"] for layer in document["attention"])
        allowed = sum(layer["allowed"] for layer in document["attention"])
        for found in document.get("machines", []):
            rows.append(
                {
                    "machine": found["machine"],
                    "variant": ", ".join(methods),
                    "quality": quality,
                    "value": document[quality],
                    "low": low,
                    "high": high,
                    "seconds": found["seconds"],
                    "energy_j": found["energy_j"],
                    "kept": kept / allowed if allowed else None,
                    "flops_share": found["coverage"]["flops"],
                }
            )
    return rows


def write_training_figure(documents: Sequence[Mapping[str, Any]], out: Path, *, of: str = "a step") -> Path:
    """Draw to ``out`` and write the numbers beside it as ``.csv``; returns ``out``.

    ``of`` says what the machines' times and energies are of. A machine that ran a part of it alone is named with the
    share of its FLOPs.

    Raises:
        UsageError: no point to draw, or a suffix other than .pdf, .svg and .png.
        InputError: a file cannot be written.
    """
    suffix = out.suffix.lower()
    if suffix not in METADATA:
        raise UsageError(f"figure '{out}': the name must end in .pdf, .svg or .png")
    rows = points(documents)
    if not rows:
        raise UsageError("a figure of training needs a step on at least one machine, got none")
    picture = _draw(rows, shorten(printable(str(documents[0]["recipe"])), 100), of, suffix)
    write_whole(out.with_suffix(".csv"), csv_text(_COLUMNS, ([row[c] for c in _COLUMNS] for row in rows)).encode())
    return write_whole(out, picture)


class _Looks(NamedTuple):
    """Colours tell machines apart, markers what was trained: many points lie close to one another."""

    colors: dict[str, str]
    markers: dict[str, str]

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> _Looks:
        """One each, in the order in which they come; the tenth is the first again."""
        machines, variants = dict.fromkeys(map(_shown, rows)), dict.fromkeys(row["variant"] for row in rows)
        return cls(
            dict(zip(machines, cycle(PALETTE), strict=False)), dict(zip(variants, cycle(_MARKERS), strict=False))
        )

    def legend(self) -> list[Line2D]:
        """A line of the legend for each machine, then for each variant."""
        from matplotlib.lines import Line2D

        def entry(name: str, color: str, marker: str) -> Line2D:
            label = shorten(printable(name), 40)
            return Line2D([], [], color=color, marker=marker, markersize=4, linestyle="", label=label)

        machines = [entry(name, color, "|") for name, color in self.colors.items()]
        return machines + [entry(name, "#1d2733", marker) for name, marker in self.markers.items()]


def _draw(rows: Sequence[Mapping[str, Any]], title: str, of: str, suffix: str) -> bytes:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    looks = _Looks.of(rows)
    axes_of = [axis for axis in _AXES if any(row[axis[0]] for row in rows)]
    with rc_context(cast("Any", STYLE)):
        figure = Figure(figsize=(3.0 * len(axes_of) + 1.6, 3.0), layout="constrained")
        axes = figure.subplots(1, len(axes_of), sharey=True, squeeze=False)[0]
        for at, (key, label, say) in zip(axes, axes_of, strict=True):
            known = [row for row in rows if row[key]]
            _scatter(at, known, key, looks)
            sizes = [row[key] for row in known]
            logarithmic(at, min(sizes) / _ROOM, max(sizes) * _ROOM, say)
            at.set_xlabel(f"{label.format(of)}, logarithmic")
        axes[0].set_ylabel("held-out accuracy" if rows[0]["quality"] == "accuracy" else "held-out loss, nats")
        figure.legend(handles=looks.legend(), loc="outside right upper", frameon=False, fontsize=7)
        figure.suptitle(title, fontsize=7)
        buffer = io.BytesIO()
        figure.savefig(buffer, format=suffix[1:], dpi=200, metadata=dict(METADATA[suffix]))
    return buffer.getvalue()


def _scatter(axes: Axes, rows: Sequence[Mapping[str, Any]], key: str, looks: _Looks) -> None:
    for row in rows:
        axes.errorbar(
            row[key],
            row["value"],
            yerr=None if row["low"] is None else _reach(row),
            fmt=looks.markers[row["variant"]],
            markersize=4,
            capsize=2,
            color=looks.colors[_shown(row)],
        )


def _shown(row: Mapping[str, Any]) -> str:
    """The machine, and the share of the FLOPs that it ran where that is not all."""
    share = row["flops_share"]
    return str(row["machine"]) if share in (None, 1.0) else f"{row['machine']}, {share:.0%} of FLOPs"


def _reach(row: Mapping[str, Any]) -> list[list[float]]:
    """How far the interval lies below and above the value."""
    return [[row["value"] - row["low"]], [row["high"] - row["value"]]]
