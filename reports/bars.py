"""The page's bar charts: time, and what time, cycles, bytes, energy and area are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from siloom.reports.chart import LINES, NO_PREFIX, PALETTE, PATTERN, Chart, amount, base_layout, safe, tick
from siloom.reports.text import ordered, prefix_for, shorten, si
from siloom.sim.result import Result

REST_COLOUR = "#BBBBBB"
MAX_BARS = 40


@dataclass(frozen=True)
class Bar:
    """One stacked bar: its label, the machine's kind, and its parts in SI units or counts."""

    label: str
    kind: str
    parts: Mapping[str, float]

    @property
    def total(self) -> float:
        """Length of the bar."""
        return math.fsum(self.parts.values())


def times(names: Sequence[str], results: Sequence[Result]) -> Chart:
    """Time of every machine, logarithmic, modelled and measured told apart by fill."""
    known = [r.seconds for r in results if r.seconds > 0]
    factor, prefix = prefix_for(max(known, default=1.0))
    traces = []
    for kind, colour in zip(PATTERN, PALETTE, strict=False):
        rows = [(i, r) for i, r in enumerate(results) if r.kind == kind and r.seconds > 0]
        if rows:
            traces.append(
                {
                    "type": "bar",
                    "orientation": "h",
                    "name": kind,
                    "x": [r.seconds / factor for _, r in rows],
                    "y": [i for i, _ in rows],
                    "text": [si(r.seconds, "s") for _, r in rows],
                    "textposition": "outside",
                    "cliponaxis": False,
                    "marker": {"color": colour, "pattern": {"shape": PATTERN[kind]}},
                    "customdata": [safe(names[i]) for i, _ in rows],
                    "hovertemplate": "%{customdata}<br>%{text}<extra></extra>",
                }
            )
    low, high = min(known, default=1.0), max(known, default=1.0)
    layout = _bar_layout(len(results), f"time ({prefix}s), logarithmic", [tick(n) for n in names])
    layout["xaxis"] |= {
        "type": "log",
        "tickformat": "~g",
        "range": [math.log10(low / factor) - 0.7, math.log10(high / factor) + 0.5],
        "dtick": 1 if high / low > 10 else "D2",
    }
    return Chart(
        "time",
        "Time",
        "Time for the whole workload; each step of the axis is ten times the last. Shorter is faster. "
        "Plain bars are modelled, hatched bars were measured, dotted bars are published figures.",
        traces,
        layout,
        ("machine", "kind", "workload", "seconds"),
        [(n, r.kind, r.workload, r.seconds) for n, r in zip(names, results, strict=True)],
    )


def phases(names: Sequence[str], results: Sequence[Result]) -> Chart | None:
    """Each machine's phases, stacked to its time."""
    bars = []
    for name, result in zip(names, results, strict=True):
        parts: dict[str, float] = {}
        for phase in result.phases:
            parts[phase.name] = parts.get(phase.name, 0.0) + phase.seconds
        bars.append(Bar(name, result.kind, parts))
    return stacked(
        "phases",
        "Phases",
        "Where the time goes: the phases of each run, end to end. Runs on machines of very different speed are "
        "easier to read as shares.",
        bars,
        "s",
        "time",
        list(dict.fromkeys(p for b in bars for p in b.parts)),
    )


def stalls(names: Sequence[str], results: Sequence[Result]) -> Chart | None:
    """The cycles of each phase by what they were spent on."""
    bars = [
        Bar(f"{name}: {phase.name}", result.kind, phase.stalls)
        for name, result in zip(names, results, strict=True)
        for phase in result.phases
        if phase.stalls
    ]
    return stacked(
        "stalls",
        "What each cycle was spent on",
        "Every cycle of a phase is given to one cause: work itself (compute) or the thing that was waited for. "
        "The causes add up to the phase's cycles.",
        bars,
        "cycles",
        "",
        ("compute",),
    )


def traffic(names: Sequence[str], results: Sequence[Result]) -> Chart | None:
    """Bytes by tensor, beside the DRAM bursts that carried them."""
    bars = []
    for name, result in zip(names, results, strict=True):
        split: dict[str, dict[str, float]] = {"payload": {}, "DRAM bursts": {}, "on chip": {}}
        for key, value in result.traffic_bytes.items():
            home = "DRAM bursts" if key in ("dram_read", "dram_write") else "payload"
            split["on chip" if key.startswith("sram_") else home][key] = value
        bars += [Bar(f"{name}: {what}", result.kind, parts) for what, parts in split.items() if parts]
    return stacked(
        "traffic",
        "Bytes moved",
        "First the payload by tensor: a and b are the operands, partial the partial products written and read back, "
        "c the result, spill what overflowed; padding fills bursts up. Then the whole bursts that the memory moved "
        "for it. Where a machine counts both, the two bars are equally long.",
        bars,
        "B",
        "bytes",
        ("a", "b", "partial", "c", "spill", "padding", "dram_read", "dram_write"),
    )


def energy(names: Sequence[str], results: Sequence[Result]) -> Chart | None:
    """Energy of each machine by component."""
    return stacked(
        "energy",
        "Energy by component",
        "Energy of the whole run. The parts add up to the energy in the table. "
        "A single bar that names an assumption is an estimate, not a breakdown.",
        [Bar(n, r.kind, r.energy_parts) for n, r in zip(names, results, strict=True) if r.energy_parts],
        "J",
        "energy",
        ("cores",),
    )


def area(names: Sequence[str], results: Sequence[Result]) -> Chart | None:
    """Area of each machine by component."""
    return stacked(
        "area",
        "Area by component",
        "Silicon area. The parts add up to the area in the table.",
        [Bar(n, r.kind, r.area_parts) for n, r in zip(names, results, strict=True) if r.area_parts],
        "mm²",
        "area",
        ("cores",),
    )


def stacked(
    key: str, title: str, caption: str, bars: Sequence[Bar], unit: str, quantity: str, first: Sequence[str]
) -> Chart | None:
    """Horizontal stacked bars; None where no bar has any length.

    Parts beyond the palette are drawn together as one, and bars beyond the longest ``MAX_BARS`` are
    left out of the drawing; the CSV holds them all.
    """
    filled = [b for b in bars if b.total > 0]
    if not filled:
        return None
    notes = []
    drawn = filled
    if len(filled) > MAX_BARS:
        least = sorted((b.total for b in filled), reverse=True)[MAX_BARS - 1]
        drawn = [b for b in filled if b.total >= least][:MAX_BARS]
        notes.append(f"The {MAX_BARS} longest of {len(filled)} bars are drawn; the CSV has all.")
    names = [n for n in ordered((p for b in filled for p in b.parts), first) if any(b.parts.get(n) for b in filled)]
    shown = names
    if len(names) > len(PALETTE):
        weight = {n: math.fsum(b.parts.get(n, 0) / b.total for b in filled) for n in names}
        kept = set(sorted(names, key=lambda n: (-weight[n], n))[: len(PALETTE)])
        shown = [n for n in names if n in kept]
        notes.append(f"The {len(PALETTE)} largest of {len(names)} parts have their own colour; the CSV has all.")
    whole = {i: b.total for i, b in enumerate(drawn)}
    factor, prefix = (1.0, "") if unit in NO_PREFIX else prefix_for(max(whole.values()))
    traces = [
        _part(name, [(i, b.parts[name]) for i, b in enumerate(drawn) if b.parts.get(name)], whole, unit, factor, colour)
        for name, colour in zip(shown, PALETTE, strict=False)
    ]
    if len(shown) < len(names):
        rest = [
            (i, value)
            for i, b in enumerate(drawn)
            if (value := math.fsum(v for n, v in b.parts.items() if n not in shown)) > 0
        ]
        label = f"other parts ({len(names) - len(shown)})"
        traces.append(_part(label, rest, whole, unit, factor, REST_COLOUR))
    ticks = [f"{tick(b.label)} · {amount(b.total, unit)}" for b in drawn]
    axis = f"{quantity} ({prefix}{unit})" if quantity else unit
    column = {"s": "seconds", "B": "bytes", "J": "joules", "mm²": "square_millimetres"}.get(unit, unit)
    return Chart(
        key,
        title,
        caption,
        [t for t in traces if t["x"]],
        _bar_layout(len(drawn), axis, ticks) | {"barmode": "stack"},
        ("bar", "kind", "part", column),
        [(b.label, b.kind, n, b.parts[n]) for b in filled for n in names if n in b.parts],
        share_title="share (%)",
        share_first=max(whole.values()) > 30 * min(whole.values()),
        notes=notes,
    )


def _part(
    name: str, values: Sequence[tuple[int, float]], whole: Mapping[int, float], unit: str, factor: float, colour: str
) -> dict[str, Any]:
    """One colour of a stacked chart; ``values`` are (bar, amount)."""
    return {
        "type": "bar",
        "orientation": "h",
        "name": safe(shorten(name.replace("_", " "), 36)),
        "x": [value / factor for _, value in values],
        "y": [i for i, _ in values],
        "marker": {"color": colour, "line": {"color": "#ffffff", "width": 1}},
        "customdata": [f"{safe(name)}: {amount(value, unit)} ({100 * value / whole[i]:.1f} %)" for i, value in values],
        "hovertemplate": "%{customdata}<extra></extra>",
    }


def _bar_layout(
    bars: int,
    axis: str,
    ticks: Sequence[str],
) -> dict[str, Any]:
    layout = base_layout(140 + 30 * bars if bars <= 30 else 140 + 22 * bars)
    return layout | {
        "bargap": 0.28,
        "showlegend": True,
        "xaxis": {"title": {"text": axis}, "rangemode": "tozero", "automargin": True, "tickformat": "~s", **LINES},
        "yaxis": {
            "tickvals": list(range(len(ticks))),
            "ticktext": list(ticks),
            "ticks": "outside",
            "ticklen": 6,
            "tickcolor": "rgba(0,0,0,0)",
            "range": [len(ticks) - 0.4, -0.6],
            "automargin": True,
            "zeroline": False,
        },
    }
