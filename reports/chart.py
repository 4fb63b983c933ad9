"""What the page's charts have in common: the figure with its caption and data, colours, escaping.

Plotly reads a subset of HTML in its texts, so every text that comes from a result is escaped here;
positions on category axes are numbers with tick texts, so that a machine called ``2018`` or two
long names that shorten to the same text stay apart.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from siloom.reports.files import Cell, csv_text
from siloom.reports.text import digits, printable, shorten, si

PALETTE = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#F0E442",
    "#332288",
    "#882255",
    "#44AA99",
    "#8C6D31",
)
"""Okabe and Ito's colours, which the colour-blind can tell apart, then a few of Paul Tol's."""

NO_PREFIX = ("mm²", "cycles")
"""Units shown without an SI prefix: k mm² would read as km²."""

PATTERN = {"modelled": "", "measured": "/", "published": "."}
SYMBOL = {"modelled": "circle", "measured": "diamond-open", "published": "square-open"}
DASH = {"modelled": "solid", "measured": "dash", "published": "dot"}
LINES = {"showline": True, "linecolor": "#8a94a0", "gridcolor": "#e4e8ec", "zeroline": False}


@dataclass(frozen=True)
class Chart:
    """One figure. ``key`` is its id on the page and the stem of its CSV file.

    ``share_title`` is the axis title of the view in which all bars are scaled to 100 %, for charts
    that have such a view; ``share_first`` opens it in that view.
    """

    key: str
    title: str
    caption: str
    traces: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any]
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    share_title: str = ""
    share_first: bool = False
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def csv(self) -> str:
        """The figure's data."""
        return csv_text(self.columns, self.rows)


def amount(value: float, unit: str) -> str:
    """``value`` with its unit, in the form that bars, hover texts and the terminal's tables show."""
    if unit == "cycles":
        return f"{value:,.0f} cycles"
    return f"{digits(value)} {unit}" if unit in NO_PREFIX else si(value, unit)


def safe(text: str) -> str:
    """``text`` such that Plotly shows it letter by letter."""
    return html.escape(printable(text), quote=False).replace("%{", "%&#123;")


def tick(text: str) -> str:
    """A label short enough for an axis or a legend."""
    return safe(shorten(text))


def base_layout(height: int) -> dict[str, Any]:
    """Fonts, margins and legend of every chart; ``height`` in pixels."""
    return {
        "height": height,
        "margin": {"l": 10, "r": 30, "t": 30, "b": 50},
        "font": {"family": "system-ui, -apple-system, 'Segoe UI', sans-serif", "size": 13, "color": "#1d2733"},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hoverlabel": {"align": "left", "namelength": -1},
        "legend": {"orientation": "h", "x": 0, "y": 1, "xanchor": "left", "yanchor": "bottom", "traceorder": "normal"},
    }
