"""A figure of trained variants: held-out accuracy, or loss, against the time and energy of a step on a machine.

Every variant, an arithmetic and a method of attention, is a point on each machine; bars are the interval over seeds.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from siloom.reports.chart import PALETTE
from siloom.reports.figure import METADATA, STYLE
from siloom.reports.files import csv_text, write_whole
from siloom.reports.text import printable, shorten
from siloom.sim.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = ("machine", "variant", "quality", "value", "low", "high", "seconds", "energy_j", "flops_share")
_AXES = (("seconds", "time of a step, s"), ("energy_j", "energy of a step, J"))


def points(documents: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What is drawn, from documents of ``siloom train --json`` that have ``machines``."""
    rows = []
    for document in documents:
        quality = "validation_loss" if document["accuracy"] is None else "accuracy"
        low, high = document.get(f"{quality}_interval") or (None, None)
        methods = [document["arithmetic"]]
        methods += [document["attention_method"]] if document["attention_method"] != "exact" else []
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
                    "flops_share": found["coverage"]["flops"],
                }
            )
    return rows


def write_training_figure(documents: Sequence[Mapping[str, Any]], out: Path) -> Path:
    """Draw to ``out`` and write the numbers beside it as ``.csv``; returns ``out``.

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
    picture = _draw(rows, shorten(printable(str(documents[0]["recipe"])), 60), suffix)
    write_whole(out.with_suffix(".csv"), csv_text(_COLUMNS, ([row[c] for c in _COLUMNS] for row in rows)).encode())
    return write_whole(out, picture)


def _draw(rows: Sequence[Mapping[str, Any]], title: str, suffix: str) -> bytes:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    axes_of = [(key, label) for key, label in _AXES if any(row[key] for row in rows)]
    with rc_context(cast("Any", STYLE)):
        figure = Figure(figsize=(3.6 * len(axes_of), 3.0), layout="constrained")
        axes = figure.subplots(1, len(axes_of), sharey=True, squeeze=False)[0]
        for at, (key, label) in zip(axes, axes_of, strict=True):
            _scatter(at, [row for row in rows if row[key]], key)
            at.set_xlabel(f"{label}, logarithmic")
        axes[0].set_ylabel("held-out accuracy" if rows[0]["quality"] == "accuracy" else "held-out loss, nats")
        axes[0].legend(frameon=False, fontsize=7)
        figure.suptitle(title, fontsize=8)
        buffer = io.BytesIO()
        figure.savefig(buffer, format=suffix[1:], dpi=200, metadata=dict(METADATA[suffix]))
    return buffer.getvalue()


def _scatter(axes: Axes, rows: Sequence[Mapping[str, Any]], key: str) -> None:
    machines = list(dict.fromkeys(row["machine"] for row in rows))
    for number, machine in enumerate(machines):
        own = [row for row in rows if row["machine"] == machine]
        known = all(row["low"] is not None for row in own)
        axes.errorbar(
            [row[key] for row in own],
            [row["value"] for row in own],
            yerr=_reach(own) if known else None,
            fmt="o",
            markersize=4,
            capsize=2,
            color=PALETTE[number % len(PALETTE)],
            label=shorten(printable(machine), 32),
        )
        for row in own:
            axes.annotate(
                shorten(printable(row["variant"]), 28),
                (row[key], row["value"]),
                xytext=(3, 3),
                textcoords="offset points",
                fontsize=6,
            )
    axes.set_xscale("log")


def _reach(rows: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """How far the interval lies below and above each value."""
    return [[row["value"] - row["low"] for row in rows], [row["high"] - row["value"] for row in rows]]
