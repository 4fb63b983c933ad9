"""The page's roofline: what each machine could do at most, and what it did."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from siloom.reports.chart import DASH, LINES, PALETTE, SYMBOL, Chart, base_layout, safe, tick
from siloom.reports.text import si
from siloom.sim.result import Result


def roofline(names: Sequence[str], results: Sequence[Result]) -> Chart | None:
    """Every machine's roof and where its run lies under it; None where no machine has either."""
    points = {i: (_intensity(r), _rate(r)) for i, r in enumerate(results)}
    placed = {i: (x, y) for i, (x, y) in points.items() if x and y}
    roofs = {
        i: (r.peaks["operations_per_s"], r.peaks["bytes_per_s"])
        for i, r in enumerate(results)
        if r.peaks.get("operations_per_s", 0) > 0 and r.peaks.get("bytes_per_s", 0) > 0
    }
    if not placed and not roofs:
        return None
    corners = [(ops / bw, ops) for ops, bw in roofs.values()]
    xs = [x for x, _ in (*placed.values(), *corners)]
    ys = [y for _, y in (*placed.values(), *corners)]
    left, right = min(xs) / 6, max(xs) * 6
    colours = {i: PALETTE[i % len(PALETTE)] for i in range(len(results))}
    traces: list[dict[str, Any]] = []
    owner: dict[tuple[float, float], int] = {}  # variants of one machine share a roof
    for i, (ops, bw) in roofs.items():
        if owner.setdefault((ops, bw), i) != i:
            continue
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": f"{tick(names[i])} roof",
                "legendgroup": f"machine {i}",
                "showlegend": i not in placed,
                "x": [left, ops / bw, right],
                "y": [bw * left, ops, ops],
                "line": {"color": colours[i], "width": 1.5, "dash": DASH[results[i].kind]},
                "hovertemplate": f"{safe(names[i])}: at most {si(ops, 'FLOP/s')}, {si(bw, 'B/s')}<extra></extra>",
            }
        )
    for i, (x, y) in placed.items():
        kind = results[i].kind
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"{tick(names[i])} ({kind})",
                "legendgroup": f"machine {i}",
                "x": [x],
                "y": [y],
                "marker": {
                    "color": colours[i],
                    "symbol": SYMBOL[kind],
                    "size": 12,
                    "line": {"width": 0 if kind == "modelled" else 2},
                },
                "hovertemplate": f"{safe(names[i])} ({kind}): {si(y, 'FLOP/s')} at {x:.3g} FLOP/B<extra></extra>",
            }
        )
    layout = base_layout(540)
    layout |= {
        "xaxis": {
            "type": "log",
            "title": {"text": "operational intensity (FLOP per DRAM byte), logarithmic"},
            "range": [math.log10(left), math.log10(right)],
            "dtick": 1,
            "tickformat": "~g",
            **LINES,
        },
        "yaxis": {
            "type": "log",
            "title": {"text": "rate (FLOP/s), logarithmic"},
            "range": [math.log10(min(ys) / 6), math.log10(max(ys) * 3)],
            "dtick": 1,
            "tickformat": "~s",
            "automargin": True,
            **LINES,
        },
    }
    absent = [names[i] for i in range(len(results)) if i not in placed and i not in roofs]
    roofless = [names[i] for i in placed if i not in roofs]
    notes = []
    if roofless:
        notes.append(f"No roof, because the peaks are not known: {', '.join(roofless)}.")
    for peak, i in owner.items():
        if sharing := [names[j] for j, other in roofs.items() if other == peak and j != i]:
            notes.append(f"Under the roof of {names[i]}, too: {', '.join(sharing)}.")
    if absent:
        notes.append(f"Not drawn, because neither peaks nor traffic are known: {', '.join(absent)}.")
    return Chart(
        "roofline",
        "Roofline",
        "Each mark is a run: how many operations it did per second (up) for how many per byte of DRAM traffic (right). "
        "The line of its colour is what that machine could do at most: the slope is its memory bandwidth, the flat "
        "part its arithmetic. Memory limits a run on the slope and arithmetic one on the flat part; "
        "a mark below its line is held up by something else. Filled marks and solid lines are "
        "modelled; open diamonds were measured, and their bytes are counted as the machine's notes say.",
        traces,
        layout,
        ("machine", "kind", "flop_per_byte", "flop_per_s", "peak_flop_per_s", "peak_bytes_per_s"),
        [
            (n, r.kind, *points[i], *roofs.get(i, (None, None)))
            for i, (n, r) in enumerate(zip(names, results, strict=True))
        ],
        notes=notes,
    )


def _intensity(result: Result) -> float | None:
    moved = dram_bytes(result)
    return flops(result) / moved if moved and flops(result) else None


def _rate(result: Result) -> float | None:
    return flops(result) / result.seconds if result.seconds > 0 and flops(result) else None


def flops(result: Result) -> int:
    """Multiplies and adds that the hardware did (counted work)."""
    return result.operations.get("multiplies", 0) + result.operations.get("adds", 0)


def dram_bytes(result: Result) -> int | None:
    """Bytes read from and written to DRAM, or None where they are not known."""
    if not {"dram_read", "dram_write"} & set(result.traffic_bytes):
        return None
    return result.traffic_bytes.get("dram_read", 0) + result.traffic_bytes.get("dram_write", 0)
