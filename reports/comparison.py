"""What the page says in words and in its first table: headline, rows, and what to be careful about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from siloom.reports.files import Cell
from siloom.reports.roofline import dram_bytes, flops
from siloom.reports.text import count, digits, ordered, printable, si
from siloom.sim.result import Result

Speedups = Mapping[str, Mapping[str, float]]

_MATTERS = 0.03
"""Overheads that differ by more than this share of the shortest time are told."""
_ABSENT = {
    "modelled": "{what} is not part of this model",
    "measured": "{what} was not measured",
    "published": "{what} was not published",
}


@dataclass(frozen=True)
class TableCell:
    """A table's entry; ``reason`` says why there is none and ``mark`` is the reason's letter."""

    text: str
    reason: str = ""
    mark: str = ""
    number: bool = True


@dataclass(frozen=True)
class Table:
    """Column heads, one row of cells for each result, and the reasons by letter."""

    heads: Sequence[str]
    rows: Sequence[Sequence[TableCell]]
    reasons: Mapping[str, str]


def baselines(names: Sequence[str], speedups: Speedups) -> list[str]:
    """Every baseline that some machine has a ratio to, in the order of the machines."""
    return ordered((b for ratios in speedups.values() for b in ratios), names)


def comparison_table(names: Sequence[str], results: Sequence[Result], speedups: Speedups) -> Table:
    """Time, speed-ups, energy, power, area, rate and DRAM bytes of every machine."""
    against = baselines(names, speedups)
    kind_of = {n: r.kind for n, r in zip(names, results, strict=True)}
    heads = [
        "machine",
        "kind",
        "time",
        *(f"speed-up over {b}" + (f" ({kind_of[b]})" if b in kind_of else "") for b in against),
        "energy",
        "mean power",
        "area",
        "rate",
        "DRAM traffic",
    ]
    several = len({r.workload for r in results}) > 1
    if several:
        heads.insert(1, "workload")
    letters: dict[str, str] = {}

    def cell(text: str | None, reason: str) -> TableCell:
        if text is not None:
            return TableCell(text)
        mark = letters.setdefault(reason, _letter(len(letters)))
        return TableCell("–", reason, mark)

    rows = []
    for name, result in zip(names, results, strict=True):
        absent = _ABSENT[result.kind]
        operations, moved = flops(result), dram_bytes(result)
        row = [TableCell(name, number=False), TableCell(result.kind, number=False), TableCell(si(result.seconds, "s"))]
        if several:
            row.insert(1, TableCell(printable(result.workload), number=False))
        for baseline in against:
            ratio = speedups.get(name, {}).get(baseline)
            row.append(cell(None if ratio is None else f"{digits(ratio)} ×", "Not compared with this baseline"))
        rate = si(operations / result.seconds, "FLOP/s") if operations and result.seconds > 0 else None
        row += [
            cell(None if result.energy_j is None else si(result.energy_j, "J"), absent.format(what="Energy")),
            cell(None if result.power_w is None else si(result.power_w, "W"), absent.format(what="Energy")),
            cell(None if result.area_mm2 is None else f"{digits(result.area_mm2)} mm²", absent.format(what="Area")),
            cell(rate, "There was no multiply or add to count"),
            cell(None if moved is None else si(moved, "B"), absent.format(what="DRAM traffic")),
        ]
        rows.append(row)
    return Table(heads, rows, {mark: reason for reason, mark in letters.items()})


def summary(names: Sequence[str], results: Sequence[Result], speedups: Speedups) -> tuple[list[str], list[list[Cell]]]:
    """The comparison table in SI units, for the download."""
    against = baselines(names, speedups)
    columns = ["machine", "kind", "workload", "seconds", *(f"speedup over {b}" for b in against)]
    columns += ["energy_j", "power_w", "area_mm2", "flop", "dram_bytes", "cycles", "clock_hz"]
    rows: list[list[Cell]] = [
        [
            n,
            r.kind,
            r.workload,
            r.seconds,
            *(speedups.get(n, {}).get(b) for b in against),
            r.energy_j,
            r.power_w,
            r.area_mm2,
            flops(r),
            dram_bytes(r),
            r.cycles,
            r.clock_hz,
        ]
        for n, r in zip(names, results, strict=True)
    ]
    return columns, rows


def work_table(names: Sequence[str], results: Sequence[Result]) -> Table | None:
    """Every operation count, counted and effective, in a column of its own."""
    kinds = ordered((k for r in results for k in r.operations), ("multiplies", "effective_multiplies", "adds"))
    if not kinds:
        return None
    rows = [
        [
            TableCell(name, number=False),
            *(TableCell(count(r.operations[k]) if k in r.operations else "–") for k in kinds),
        ]
        for name, r in zip(names, results, strict=True)
    ]
    return Table(["machine", *(printable(k).replace("_", " ") for k in kinds)], rows, {})


def quality_table(names: Sequence[str], results: Sequence[Result]) -> Table | None:
    """How good each approximation was, in per cent; a dash where nothing was left out on purpose."""
    figures = ordered((k for r in results for k in r.quality), ("recall", "precision", "mass_kept", "output_error"))
    if not figures:
        return None
    rows = [
        [
            TableCell(name, number=False),
            *(TableCell(f"{r.quality[k]:.1%}" if k in r.quality else "–") for k in figures),
        ]
        for name, r in zip(names, results, strict=True)
    ]
    return Table(["machine", *(printable(k).replace("_", " ") for k in figures)], rows, {})


def headline(names: Sequence[str], results: Sequence[Result], speedups: Speedups) -> str:
    """One sentence: which machine, what it ran, how long it took, against whom.

    It is about the first result that has a speed-up and is no baseline itself, else about the first.
    """
    against = baselines(names, speedups)
    candidates = [i for i, n in enumerate(names) if n not in against and speedups.get(n)]
    at = candidates[0] if candidates else 0
    name, result = names[at], results[at]
    kind_of = {n: f" ({r.kind})" for n, r in zip(names, results, strict=True)}
    verb = {"modelled": "is modelled to take", "measured": "was measured to take", "published": "is published to take"}
    text = f"{printable(result.machine)} {verb[result.kind]} {si(result.seconds, 's')} for {printable(result.workload)}"
    if result.cycles is not None and result.clock_hz:
        text += f" ({count(result.cycles)} cycles at {si(result.clock_hz, 'Hz')})"
    ratios = speedups.get(name, {})
    said = [f"{digits(ratios[b])} times the speed of {b}{kind_of.get(b, '')}" for b in against if b in ratios]
    if said:
        text += ": " + _listed(said)
    elif len(results) > 1:
        text += f", one of {len(results)} results on this page; no baseline was named"
    return text + "."


def cautions(names: Sequence[str], results: Sequence[Result]) -> list[str]:
    """What a reader must know before comparing the rows."""
    out = []
    kinds = {r.kind for r in results}
    if len(kinds) > 1:
        groups = [
            f"{kind.capitalize()}: {', '.join(n for n, r in zip(names, results, strict=True) if r.kind == kind)}"
            for kind in ("modelled", "measured", "published")
            if kind in kinds
        ]
        out.append(f"Numbers of different kinds stand side by side. {'. '.join(groups)}.")
    for name, r in zip(names, results, strict=True):
        if (share := min(r.coverage.get("operations", 1.0), r.coverage.get("flops", 1.0))) < 1:
            out.append(
                f"{name} ran only part of the workload: {100 * r.coverage.get('operations', 1.0):.3g} % of its "
                f"operations with {100 * r.coverage.get('flops', 1.0):.3g} % of its FLOP; the rest is not in its time."
                if share > 0
                else f"{name} ran none of the workload's FLOP; its time says nothing about them."
            )
        failed = [k for k, v in r.checks.items() if v is False]
        if failed:
            out.append(f"{name}: a check did not hold: {', '.join(map(printable, failed))}.")
    for workload in ordered(r.workload for r in results):
        same = [(n, r) for n, r in zip(names, results, strict=True) if r.workload == workload]
        out += _unequal(printable(workload), same)
    return out


def _unequal(workload: str, same: Sequence[tuple[str, Result]]) -> Iterable[str]:
    """Differences in operands, work and precision between results that carry one workload's name."""
    if len({r.provenance.get("workload_hash") for _, r in same} - {None}) > 1:
        yield f"{workload}: the results come from different operands (their hashes differ)."
    for key, what in (("multiplies", "multiplies"), ("effective_multiplies", "effective multiplies")):
        seen = {n: r.operations[key] for n, r in same if key in r.operations}
        if len(set(seen.values())) > 1:
            few = [f"{n} {count(v)}" for n, v in list(seen.items())[:6]]
            yield f"{workload}: the machines do unequal work, counted in {what}: {', '.join(few)}."
    if calls := unequal_overheads(same):
        listed = ", ".join(f"{n} {text}" for n, text in calls.items())
        yield f"{workload}: calls and hosts take unequal parts of the times: {listed}."
    precisions = {str(r.design["precision"]) for _, r in same if "precision" in r.design}
    if len(precisions) > 1:
        yield f"{workload}: the machines compute at unequal precision: {', '.join(map(printable, sorted(precisions)))}."


def unequal_overheads(results: Sequence[tuple[str, Result]]) -> dict[str, str]:
    """What calls and hosts take of each machine's time, in words; empty where that is alike or hardly matters."""
    told = {name: r.overhead_s for name, r in results}
    known = [seconds for seconds in told.values() if seconds is not None]
    apart = max(known) if None in told.values() and known else max(known, default=0.0) - min(known, default=0.0)
    if apart <= _MATTERS * min(r.seconds for _, r in results):
        return {}
    return {
        name: "not told apart"
        if r.overhead_s is None
        else f"{si(r.overhead_s, 's')} of {si(r.seconds, 's')}"
        if r.overhead_s
        else "none"
        for name, r in results
    }


def _listed(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def _letter(number: int) -> str:
    return chr(ord("a") + number) if number < 26 else f"a{number}"
