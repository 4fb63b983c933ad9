"""Explorations as tables on a terminal, and one point's stall tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from siloom.explore.metrics import METRICS
from siloom.explore.row import Row
from siloom.reports.chart import amount
from siloom.show import plain_console, show_rows

_SHOWN = 40
_EXACT = 2**53
"""Below it a float holds every whole number."""


def show_exploration(document: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the front, how the searches came to it, and what did not work."""
    console = console or plain_console()
    objectives = document["objectives"]
    front = document["front"]
    rows = [
        {
            **{name: quantity(name, row[name]) for name in objectives},
            "bottleneck": row["bottleneck"],
            "design": row["design"],
            "key": row["key"][:8],
        }
        for row in front[:_SHOWN]
    ]
    if rows:
        show_rows(f"front of {document['space']}: {len(front)} of {document['evaluations']:,} points", rows, console)
    if len(front) > _SHOWN:
        console.print(f"and {len(front) - _SHOWN} more (--json, or siloom store export {document['store']})")
    last: dict[tuple[str, int], float] = {
        (step["search"], step["seed"]): step["hypervolume"] for step in document["history"]
    }
    if len(document["searches"]) > 1:
        searched = [
            {
                "search": run["name"],
                "seed": run["seed"],
                "evaluations": f"{run['evaluations']:,}",
                "hypervolume": f"{last.get((run['name'], run['seed']), 0):.1%} of the front that all found",
            }
            for run in document["searches"]
        ]
        show_rows("searches", searched, console)
    if document["finalists"]:
        names = ("luts", "ffs", "dsps", "brams", "clock_hz")
        built = [
            {**{name: quantity(name, row.get(name)) for name in names}, "design": row["design"], "why": row["reason"]}
            for row in document["finalists"]
        ]
        show_rows("finalists, placed and routed", built, console)
    if document["bound"]:
        said = document["bound"]
        console.print(
            f"closed-form bound: rank correlation {said['rank_correlation']:.3f} with the cycle model's time, "
            f"{said['points']:,} points"
        )
    counts = document["counts"]
    said = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items() if count)
    console.print(f"{document['evaluations']:,} of {document['size']:,} points: {said or 'none evaluated'}")
    if document["ended"] != "complete":
        why = {"seconds": "the budget's seconds were over", "interrupted": "it was interrupted"}[document["ended"]]
        console.print(f"not at its end: {why}; the same command goes on from here")
    if document["store"]:
        console.print(f"kept in {document['store']}", soft_wrap=True)


def quantity(name: str, value: float | None) -> str:
    """A metric with its unit."""
    unit = METRICS[name].unit.replace("mm2", "mm²")
    return "" if value is None else amount(value, unit) if unit else digits(value)


def digits(value: float) -> str:
    """Whole numbers in full, others with four digits: 32,768; 0.4489."""
    return f"{value:,.0f}" if value == int(value) and abs(value) < _EXACT else f"{value:.4g}"


def show_forecast(document: Mapping[str, Any], console: Console | None = None) -> None:
    """Print what a run would take."""
    console = console or plain_console()
    # Not as the table's title, which would be broken to the table's width.
    console.print(f"{document['space']}: {document['size']:,} points of {', '.join(document['machines'])}")
    show_rows(
        "searches",
        [{"search": s["name"], "seed": s["seed"], "points": f"{s['points']:,}"} for s in document["searches"]],
        console,
    )
    who = f"{document['workers']} workers" if document["workers"] else "this process alone"
    console.print(
        f"{document['points']:,} evaluations of {document['seconds_per_point'] * 1e3:.3g} ms (of {document['sampled']} "
        f"tried): about {document['seconds']:,.1f} s with {who}, "
        f"{document['memory_bytes'] / 2**30:.2g} GiB of memory, {document['disk_bytes'] / 2**20:.2g} MiB on disk"
    )


def show_point(row: Row, detail: Mapping[str, Any], console: Console | None = None) -> None:
    """Print a point's metrics and its stall tree."""
    console = console or plain_console()
    console.print(Text(f"{row.key.hex()}  {row.design}"))
    console.print(Text(f"{row.status}{f': {row.reason}: {row.message}' if row.reason else ''}"))
    show_rows("metrics", [{name: quantity(name, value) for name, value in row.metrics.items()}], console)
    for work in detail.get("workloads", ()):
        tree = Tree(Text(f"{work['name']} (weight {work['weight']:g}): {_cycles(work['cycles'], None)}"))
        for phase in work["phases"]:
            branch = tree.add(Text(f"{phase['name']}: {_cycles(phase['cycles'], work['cycles'])}"))
            for cause, cycles in sorted(phase["stalls"].items(), key=lambda pair: (-pair[1], pair[0])):
                if cycles:
                    branch.add(Text(f"{cause}: {_cycles(cycles, work['cycles'])}"))
        console.print(tree)
        energy = sum(work["energy_parts"].values())
        parts = [
            {"energy": name, "joules": amount(value, "J"), "share": f"{value / energy:.1%}" if energy else ""}
            for name, value in sorted(work["energy_parts"].items(), key=lambda pair: (-pair[1], pair[0]))
        ]
        if parts:
            show_rows("energy by component", parts, console)


def _cycles(cycles: int | None, whole: int | None) -> str:
    if cycles is None:
        return "no cycles"
    return f"{cycles:,} cycles" + (f" ({cycles / whole:.1%})" if whole else "")


def show_difference(rows: Sequence[Mapping[str, Any]], console: Console | None = None) -> None:
    """Print what differs between two points, in percent of the first."""
    console = console or plain_console()
    show_rows("difference", rows, console)
