"""``siloom store``: what explorations kept."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from siloom.commands.given import Json, print_json, suffix, writable
from siloom.sim.errors import UsageError

if TYPE_CHECKING:
    from siloom.explore.row import Row
    from siloom.explore.store import Store

store_app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Merge, export, explain and compare what explorations kept.",
)

_LEAST = 4
"""Digits of a key: fewer would name several of any thousand points."""

StoreFile = Annotated[Path, typer.Argument(metavar="STORE", help="A file that siloom explore wrote.")]
PointText = Annotated[
    str, typer.Argument(metavar="POINT", help="The first digits (4 or more) of a key, or a design as shown.")
]


@store_app.command()
def merge(
    into: Annotated[Path, typer.Argument(metavar="INTO", help="The store that is added to; made where it is absent.")],
    sources: Annotated[list[Path], typer.Argument(metavar="STORE...", help="Stores whose rows are added.")],
    as_json: Json = False,
) -> None:
    """Add the rows of stores to INTO; doing it again changes nothing."""
    from siloom.explore.merge import merge as put_together

    added = put_together(into, sources)
    if as_json:
        print_json({"store": str(into), "added": added})
    else:
        print(f"{into}: {added:,} rows added")


@store_app.command()
def export(
    store: StoreFile,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="The table to write (.csv, .parquet).")],
) -> None:
    """Write all rows as a table."""
    from siloom.explore.store import Store
    from siloom.reports.exploration_table import SUFFIXES
    from siloom.reports.exploration_table import export as write

    suffix(out, SUFFIXES)
    writable(out)
    with Store.open(store, read_only=True) as kept:
        print(write(kept.rows(), out))


@store_app.command()
def explain(store: StoreFile, point: PointText, as_json: Json = False) -> None:
    """Print where a point's cycles and energy go."""
    from siloom.explore.store import Store

    with Store.open(store, read_only=True) as kept:
        row = _point(kept, point)
    detail = _detail(row)
    if as_json:
        print_json({**_named(row), "metrics": dict(row.metrics), **detail})
        return
    from siloom.show_exploration import show_point

    show_point(row, detail)


@store_app.command()
def diff(
    store: StoreFile,
    point: PointText,
    other: Annotated[str, typer.Argument(metavar="POINT", help="The point that is compared with the first.")],
    as_json: Json = False,
) -> None:
    """Compare two points in percent of the first.

    Every field, metric, stall and part of energy and area that differs is a row.
    """
    from siloom.explore.store import Store

    with Store.open(store, read_only=True) as kept:
        first, second = _point(kept, point), _point(kept, other)
    rows = list(_differences(first, second))
    if as_json:
        print_json({"first": _named(first), "second": _named(second), "rows": rows})
        return
    from siloom.show_exploration import digits, show_difference

    def short(value: object) -> str:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return "" if value is None else digits(value) if number else str(value)  # type: ignore[arg-type]

    show_difference(
        [
            {
                "what": row["what"],
                first.key.hex()[:8]: short(row["first"]),
                second.key.hex()[:8]: short(row["second"]),
                "change": "" if row["percent"] is None else f"{row['percent']:+.1f} %",
            }
            for row in rows
        ]
    )


def _named(row: Row) -> dict[str, Any]:
    return {
        "key": row.key.hex(),
        "design": row.design,
        "machine": row.machine,
        "settings": dict(row.settings),
        "workload": row.workload,
        "fidelity": row.fidelity,
        "status": row.status,
        "reason": row.reason,
        "message": row.message,
        "bottleneck": row.bottleneck,
    }


def _detail(row: Row) -> dict[str, Any]:
    if not row.details:
        return {}
    found: dict[str, Any] = json.loads(row.details)
    return found


def _point(store: Store, text: str) -> Row:
    """The one row that a text names.

    Raises:
        UsageError: none, or several.
    """
    key = text.lower()
    found: list[Row] = []
    if _LEAST <= len(key) <= 32 and all(character in "0123456789abcdef" for character in key):
        found = store.find(key)
    if not found:
        found = [row for row in store.rows() if row.design == text]
    if not found:
        raise UsageError(
            f"{store.path}: no point '{text[:100]}'; name the first {_LEAST} digits or more of its key, or its design"
        )
    if len(found) > 1:
        told = ", ".join(f"{row.key.hex()[:12]} ({row.fidelity}, {row.workload[:40]})" for row in found[:3])
        raise UsageError(f"{store.path}: '{text[:100]}' names several points: {told}")
    return found[0]


def _differences(first: Row, second: Row) -> Iterator[dict[str, Any]]:
    """What differs, settings first; equal values are left out."""
    for name in dict.fromkeys([*first.settings, *second.settings]):
        yield from _difference(name, first.settings.get(name), second.settings.get(name))
    for name in dict.fromkeys([*first.metrics, *second.metrics]):
        yield from _difference(name, first.metrics.get(name), second.metrics.get(name))
    for title, field in (("cycles", "stalls"), ("energy", "energy_parts"), ("area", "area_parts")):
        ours, theirs = _totals(first, field), _totals(second, field)
        for name in dict.fromkeys([*ours, *theirs]):
            yield from _difference(f"{title}: {name}", ours.get(name, 0), theirs.get(name, 0))


def _totals(row: Row, field: str) -> Mapping[str, float]:
    out: dict[str, float] = {}
    for work in _detail(row).get("workloads", ()):
        for name, value in work[field].items():
            before = out.get(name, 0)
            # Area is the machine's, whatever it runs; the others add up by weight.
            out[name] = max(before, value) if field == "area_parts" else before + work["weight"] * value
    return out


def _difference(what: str, first: Any, second: Any) -> Iterator[dict[str, Any]]:
    if first == second:
        return
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (first, second))
    percent = 100 * (second / first - 1) if numbers and first else None
    yield {"what": what, "first": first, "second": second, "percent": percent}
