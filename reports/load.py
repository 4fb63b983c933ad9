"""Reads results back from the JSON documents that ``run --json`` and ``compare --json`` print.

Such a file may come from anywhere: everything a report relies on is checked here, once.
"""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn, get_args

from siloom.reports.text import labels
from siloom.sim.errors import InputError
from siloom.sim.result import Kind, Result

MAX_BYTES = 256 * 2**20
"""Largest file that is read; a result of the largest machine is a few megabytes."""

_NUMBER_MAPS = (
    "energy_parts",
    "area_parts",
    "operations",
    "traffic_bytes",
    "stalls",
    "coverage",
    "counters",
    "peaks",
)
_FREE_MAPS = ("checks", "design", "provenance")


def load_results(paths: Iterable[Path]) -> list[Result]:
    """The results of all files, in order; see :func:`load_comparison`."""
    return load_comparison(paths)[0]


def load_comparison(paths: Iterable[Path]) -> tuple[list[Result], dict[str, dict[str, float]]]:
    """The results of all files in order, and ``speedups[label][baseline]`` where a file gives them.

    Labels are those of :func:`siloom.reports.text.labels`: the machine's name where it is unique.

    Raises:
        InputError: a file is absent, too large, not JSON, or not a result or comparison.
    """
    results: list[Result] = []
    found: list[dict[str, float]] = []
    for path in paths:
        document = _read(path)
        rows = document["rows"] if isinstance(document, dict) and "schema" not in document else [document]
        for number, row in enumerate(rows):
            where = f"{path}: row {number + 1}" if len(rows) > 1 else str(path)
            results.append(_result(row, where))
            found.append(_speedup(row, where))
    return results, {label: ratios for label, ratios in zip(labels(results), found, strict=True) if ratios}


def _read(path: Path) -> Any:
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise InputError(f"{path}: is not a regular file")
        size = about.st_size
        if size > MAX_BYTES:
            raise InputError(f"{path}: must be at most {MAX_BYTES} bytes, has {size}")
        document = json.loads(
            path.read_text(encoding="utf-8"), parse_int=_whole, parse_float=_real, parse_constant=_real
        )
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except _OutOfRangeError as error:
        raise InputError(f"{path}: number out of range: {error}") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path}: is not a JSON document") from None
    if isinstance(document, dict) and "schema" not in document:
        rows = document.get("rows")
        if not isinstance(rows, list) or not rows:
            raise InputError(f"{path}: neither a siloom result nor a comparison with rows")
    return document


class _OutOfRangeError(ValueError):
    """A number that no result can hold."""


def _whole(text: str) -> int:
    if len(text) > 30:
        raise _OutOfRangeError(text[:40])
    return int(text)


def _real(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) or abs(value) > 1e60:
        raise _OutOfRangeError(text[:40])
    return value


def _result(row: Any, where: str) -> Result:
    """A result whose fields have the types that reports rely on."""

    def refuse(name: str, rule: str, value: object) -> NoReturn:
        raise InputError(f"{where}: {name} must be {rule}, got {_short(value)}")

    def number(name: str, value: object, *, low: float = 0.0) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or value < low:
            refuse(name, f"a number of at least {low:g}", value)

    def numbers(name: str, value: object) -> None:
        if not isinstance(value, Mapping):
            refuse(name, "an object of numbers", value)
        for key, each in value.items():
            number(f"{name}.{_short(key)}", each)

    if not isinstance(row, Mapping):
        refuse("the document", "a siloom result", row)
    for name in ("machine", "workload"):
        if not isinstance(row.get(name), str) or not row[name]:
            refuse(name, "a text", row.get(name))
    number("seconds", row.get("seconds"))
    if row.get("kind", "modelled") not in get_args(Kind):
        refuse("kind", " or ".join(get_args(Kind)), row.get("kind"))
    for name in ("cycles", "clock_hz", "energy_j", "area_mm2", "utilization"):
        if row.get(name) is not None:
            number(name, row[name])
    for name in _NUMBER_MAPS:
        numbers(name, row.get(name, {}))
    for name in _FREE_MAPS:
        if not isinstance(row.get(name, {}), Mapping):
            refuse(name, "an object", row[name])
    for name in ("phases", "rows", "unsupported"):
        if not isinstance(row.get(name, []), list) or not all(isinstance(r, Mapping) for r in row.get(name, [])):
            refuse(name, "a list of objects", row[name])
    if not isinstance(row.get("notes", []), list) or not all(isinstance(n, str) for n in row.get("notes", [])):
        refuse("notes", "a list of texts", row["notes"])
    for i, phase in enumerate(row.get("phases", [])):
        if not isinstance(phase.get("name"), str):
            refuse(f"phases[{i}].name", "a text", phase.get("name"))
        number(f"phases[{i}].seconds", phase.get("seconds"))
        if phase.get("cycles") is not None:
            number(f"phases[{i}].cycles", phase["cycles"])
        numbers(f"phases[{i}].stalls", phase.get("stalls", {}))
    result = Result.from_dict(row, where)
    if result.timeline is not None and not result.timeline.bin_seconds > 0:
        refuse("timeline.bin_seconds", "a number above 0", result.timeline.bin_seconds)
    return result


def _speedup(row: Mapping[str, Any], where: str) -> dict[str, float]:
    ratios = row.get("speedup") or {}
    if not isinstance(ratios, Mapping):
        raise InputError(f"{where}: speedup must be an object of ratios, got {_short(ratios)}")
    for baseline, ratio in ratios.items():
        if isinstance(ratio, bool) or not isinstance(ratio, int | float | None) or (ratio is not None and ratio < 0):
            raise InputError(f"{where}: speedup.{_short(baseline)} must be a ratio, got {_short(ratio)}")
    return {baseline: float(ratio) for baseline, ratio in ratios.items() if ratio is not None}


def _short(value: object) -> str:
    text = ascii(value) if not isinstance(value, str) else ascii(value)[1:-1]
    return text if len(text) <= 60 else text[:57] + "..."
