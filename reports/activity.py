"""The page's heat maps: how busy each tile and channel was over time."""

from __future__ import annotations

import math
from typing import Any

from siloom.reports.chart import Chart, base_layout, safe, tick
from siloom.reports.text import prefix_for, shorten, si
from siloom.reports.timeline import groups
from siloom.sim.result import Result

MAX_VALUES = 60_000
"""Values drawn of one result; a longer timeline is averaged."""


def activity(position: int, name: str, result: Result) -> list[Chart]:
    """Heat maps of a result's timeline, one for each group of lanes."""
    charts: list[Chart] = []
    for lanes in groups(result, MAX_VALUES):
        factor, prefix = prefix_for(result.seconds)
        width = lanes.bin_seconds / factor
        layout = base_layout(min(900, max(230, 130 + 15 * len(lanes.names))))
        every = max(1, math.ceil(len(lanes.names) / 48))
        layout |= {
            "xaxis": {"title": {"text": f"time ({prefix}s)"}, "range": [0, max(result.seconds / factor, width)]},
            "yaxis": {
                "autorange": "reversed",
                "automargin": True,
                "tickvals": list(range(0, len(lanes.names), every)),
                "ticktext": [tick(n) for n in lanes.names[::every]],
            },
        }
        layout |= _phase_marks(result, factor)
        group = shorten(lanes.group, 40)
        charts.append(
            Chart(
                f"activity-{position + 1}-{len(charts) + 1}",
                f"{name}: {group} activity over time",
                f"One row for each {group}, time to the right, in bins of {si(lanes.bin_seconds, 's')}. Bright is busy "
                "all the time, dark is idle. Vertical lines part the phases.",
                [
                    {
                        "type": "heatmap",
                        "z": [[round(v, 3) for v in row] for row in lanes.values],
                        "x0": width / 2,
                        "dx": width,
                        "y": list(range(len(lanes.names))),
                        "zmin": 0,
                        "zmax": 1,
                        "colorscale": "Viridis",
                        "colorbar": {"title": {"text": "busy"}, "tickformat": ".0%", "thickness": 12},
                        "hovertemplate": "%{y}, %{x:.4g}: %{z:.1%}<extra></extra>",
                    }
                ],
                layout,
                ("from_seconds", *lanes.names),
                [
                    (i * lanes.bin_seconds, *(round(v, 6) for v in bin_))
                    for i, bin_ in enumerate(zip(*lanes.values, strict=True))
                ],
            )
        )
    return charts


def _phase_marks(result: Result, factor: float) -> dict[str, Any]:
    """Lines where phases begin and their names above, for up to a dozen phases."""
    if not 1 < len(result.phases) <= 12:
        return {}
    shapes, notes, begin = [], [], 0.0
    for phase in result.phases:
        if begin > 0:
            line = {"color": "#ffffff", "width": 1.5}
            shapes.append(
                {"type": "line", "xref": "x", "yref": "paper", "x0": begin, "x1": begin, "y0": 0, "y1": 1, "line": line}
            )
        length = phase.seconds / factor
        if phase.seconds > 0.06 * result.seconds:
            notes.append(
                {
                    "xref": "x",
                    "yref": "paper",
                    "x": begin + length / 2,
                    "y": 1,
                    "yanchor": "bottom",
                    "showarrow": False,
                    "text": safe(shorten(phase.name, 24)),
                }
            )
        begin += length
    return {"shapes": shapes, "annotations": notes}
