"""Results as tables on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from siloom.reports.chart import amount
from siloom.reports.roofline import flops
from siloom.sim.result import Phase, Result

if TYPE_CHECKING:
    from siloom.api import Comparison

_MOST_NAMES = 4
_MOST_PHASES = 20
_MOST_CAUSES = 5
_NAME_WIDTH = 30
_MOST_NOTES = 4


def plain_console() -> Console:
    """Standard output, text as it is: a name with square brackets is a name, not a colour."""
    return Console(markup=False)


def _amount(value: float | None, unit: str) -> str:
    return "-" if value is None else amount(value, unit)


def _rate_unit(result: Result) -> str:
    """What a rate counts: floating-point operations, or whole-number ones."""
    return "OP/s" if result.precision and all(form.startswith("int") for form in result.precision) else "FLOP/s"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right")
    return table


def show_result(result: Result, console: Console | None = None) -> None:
    """Print one result: what it comes to, then phases with their stalls, traffic and energy."""
    console = console or plain_console()
    head = _table(f"{result.machine} on {result.workload} ({result.kind})", "", "")
    head.add_row("time", amount(result.seconds, "s"))
    if result.overhead_s:
        share = result.overhead_s / result.seconds
        head.add_row("of it calls and host", f"{amount(result.overhead_s, 's')} ({share:.1%})")
    if result.cycles is not None:
        head.add_row("cycles", f"{result.cycles:,} at {_amount(result.clock_hz, 'Hz')}")
    for name, value in result.operations.items():
        head.add_row(name.replace("_", " "), f"{value:,}")
    if result.seconds > 0:
        head.add_row("rate", amount(flops(result) / result.seconds, _rate_unit(result)))
    if result.utilization is not None:
        head.add_row("utilisation", f"{result.utilization:.1%}")
    for name, share in result.quality.items():
        head.add_row(name.replace("_", " "), f"{share:.1%}")
    if result.over_rest:
        _show_over_rest(result.over_rest, head)
    head.add_row("energy", _amount(result.energy_j, "J"))
    head.add_row("power", _amount(result.power_w, "W"))
    head.add_row("area", _amount(result.area_mm2, "mm²"))
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


def _show_over_rest(over_rest: Mapping[str, Any], head: Table) -> None:
    """Rows of what was gained over the machine that ran the rest."""
    for name, what in (("supported", "its part"), ("with_transfers", "with transfers"), ("whole", "the whole")):
        ratio = over_rest[name]
        head.add_row(f"speed-up over {over_rest['baseline']}, {what}", "-" if ratio is None else f"{ratio:.3g} x")


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
    named, minor = causes[:_MOST_CAUSES], causes[_MOST_CAUSES:]
    heads = [*named, *(["others"] if minor else [])]
    table = _table("phases: where cycles go" if causes else "phases", "phase", "time", "cycles", *heads)
    table.columns[0].min_width = _NAME_WIDTH
    for phase in _longest(result.phases):
        parts = [phase.stalls.get(c, 0) for c in named] + [sum(phase.stalls.get(c, 0) for c in minor)]
        shares = [f"{part / phase.cycles:.1%}" if phase.cycles else "-" for part in parts[: len(heads)]]
        cycles = "-" if phase.cycles is None else f"{phase.cycles:,}"
        table.add_row(phase.name, amount(phase.seconds, "s"), cycles, *shares)
    console.print(table)


def _longest(phases: Sequence[Phase]) -> list[Phase]:
    """The longest phases in their order, and all others added up into one more."""
    if len(phases) <= _MOST_PHASES:
        return list(phases)
    kept = set(sorted(range(len(phases)), key=lambda i: -phases[i].seconds)[: _MOST_PHASES - 1])
    rest = [p for i, p in enumerate(phases) if i not in kept]
    stalls = {cause: sum(p.stalls.get(cause, 0) for p in rest) for p in rest for cause in p.stalls}
    cycles = None if any(p.cycles is None for p in rest) else sum(p.cycles or 0 for p in rest)
    other = Phase(f"{len(rest)} shorter ones", cycles, sum(p.seconds for p in rest), stalls)
    return [*(phases[i] for i in sorted(kept)), other]


def show_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Print machines side by side, speed-ups over each baseline last."""
    console = console or plain_console()
    names = comparison.operations
    what = ", ".join(names) if len(names) <= _MOST_NAMES else f"{len(names)} operations"
    title = f"{comparison.results[0].workload}: {what}"
    kinds = {r.machine: r.kind for r in comparison.results}
    table = _table(
        title,
        "machine",
        "",
        "precision",
        "time",
        "rate",
        "energy",
        "area",
        *(f"vs {b} ({kinds[b]})" for b in comparison.baselines),
    )
    for result in comparison.results:
        rate = flops(result) / result.seconds if result.seconds > 0 else None
        table.add_row(
            result.machine,
            result.kind,
            "+".join(result.precision) or "-",
            amount(result.seconds, "s"),
            _amount(rate, _rate_unit(result)),
            _amount(result.energy_j, "J"),
            _amount(result.area_mm2, "mm²"),
            *(_ratio(comparison.speedups[result.machine][b]) for b in comparison.baselines),
        )
    console.print(table)
    for flag in comparison.flags:
        console.print(f"unequal: {flag}")
    if comparison.left_out:
        left = comparison.left_out
        more = f" and {len(left) - _MOST_NAMES} more (--json has all)" if len(left) > _MOST_NAMES else ""
        console.print(f"left out, not run by all: {', '.join(left[:_MOST_NAMES])}{more}")
    for result in comparison.results:
        _show_notes(result.notes, console, f"{result.machine}: ")


def show_rows(title: str, rows: Sequence[Mapping[str, Any]], console: Console | None = None) -> None:
    """Print a list of records with the same keys."""
    console = console or plain_console()
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


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}x"
