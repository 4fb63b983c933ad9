"""Results as tables on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from siloom.sim.result import Result

if TYPE_CHECKING:
    from siloom.api import Comparison

_STEPS = (("", 1.0), ("m", 1e-3), ("µ", 1e-6), ("n", 1e-9), ("p", 1e-12))
_MOST_NOTES = 4
_LARGE = (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3))


def si(value: float | None, unit: str) -> str:
    """A quantity with three significant digits and an SI prefix: ``4.79 ms``."""
    if value is None:
        return "-"
    if value == 0:
        return f"0 {unit}"
    for prefix, factor in _LARGE:
        if abs(value) >= factor:
            return f"{value / factor:.3g} {prefix}{unit}"
    for prefix, factor in _STEPS:
        if abs(value) >= factor:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right")
    return table


def show_result(result: Result, console: Console | None = None) -> None:
    """Print one result: what it comes to, then phases with their stalls, traffic and energy."""
    console = console or Console()
    head = _table(f"{result.machine} on {result.workload} ({result.kind})", "", "")
    flops = sum(result.operations.get(k, 0) for k in ("multiplies", "adds"))
    head.add_row("time", si(result.seconds, "s"))
    if result.cycles is not None:
        head.add_row("cycles", f"{result.cycles:,} at {si(result.clock_hz, 'Hz')}")
    for name, value in result.operations.items():
        head.add_row(name.replace("_", " "), f"{value:,}")
    if result.seconds > 0:
        head.add_row("rate", si(flops / result.seconds, "FLOP/s"))
    if result.utilization is not None:
        head.add_row("PE utilisation" if result.kind == "modelled" else "utilisation", f"{result.utilization:.1%}")
    head.add_row("energy", si(result.energy_j, "J"))
    head.add_row("power", si(result.power_w, "W"))
    head.add_row("area", "-" if result.area_mm2 is None else f"{result.area_mm2:.4g} mm²")
    console.print(head)
    _show_phases(result, console)
    if result.traffic_bytes:
        table = _table("memory traffic", "", "bytes")
        for name, value in result.traffic_bytes.items():
            table.add_row(name, f"{value:,}")
        console.print(table)
    for item in result.unsupported:
        share = item["flops_share"]
        console.print(f"not run here: {item['name']} ({item['kind']}, {share:.1%} of the FLOPs); name a --rest machine")
    _show_notes(result.notes, console)


def _show_notes(notes: Sequence[str], console: Console, owner: str = "") -> None:
    """Print the first few distinct notes; a workload of many operations repeats itself."""
    distinct = list(dict.fromkeys(notes))
    for note in distinct[:_MOST_NOTES]:
        console.print(f"note: {owner}{note}")
    if len(distinct) > _MOST_NOTES:
        console.print(f"note: {owner}{len(distinct) - _MOST_NOTES} more, all in --json")


def _show_phases(result: Result, console: Console) -> None:
    if not result.phases:
        return
    causes = sorted({c for p in result.phases for c in p.stalls}, key=lambda c: -result.stalls.get(c, 0))
    table = _table("phases: where a PE's cycles go" if causes else "phases", "phase", "time", "cycles", *causes)
    for phase in result.phases:
        shares = [f"{phase.stalls.get(c, 0) / phase.cycles:.1%}" if phase.cycles else "-" for c in causes]
        cycles = "-" if phase.cycles is None else f"{phase.cycles:,}"
        table.add_row(phase.name, si(phase.seconds, "s"), cycles, *shares)
    console.print(table)


def show_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Print machines side by side, speed-ups over each baseline last."""
    console = console or Console()
    title = f"{comparison.results[0].workload}: {', '.join(comparison.operations)}"
    table = _table(title, "machine", "", "time", "rate", "energy", "area", *(f"vs {b}" for b in comparison.baselines))
    for result in comparison.results:
        flops = sum(result.operations.get(k, 0) for k in ("multiplies", "adds"))
        rate = flops / result.seconds if result.seconds > 0 else None
        table.add_row(
            result.machine,
            result.kind,
            si(result.seconds, "s"),
            si(rate, "FLOP/s"),
            si(result.energy_j, "J"),
            "-" if result.area_mm2 is None else f"{result.area_mm2:.4g} mm²",
            *(f"{comparison.speedups[result.machine][b]:.3g}x" for b in comparison.baselines),
        )
    console.print(table)
    if comparison.left_out:
        console.print(f"left out, not run by all: {', '.join(comparison.left_out)}")
    for result in comparison.results:
        _show_notes(result.notes, console, f"{result.machine}: ")


def show_rows(title: str, rows: Sequence[Mapping[str, Any]], console: Console | None = None) -> None:
    """Print a list of records with the same keys."""
    console = console or Console()
    if not rows:
        console.print(f"{title}: nothing")
        return
    table = _table(title, *rows[0])
    for row in rows:
        table.add_row(*(_text(value) for value in row.values()))
    console.print(table)


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)
