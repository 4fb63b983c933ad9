"""Everything else a result holds, as groups of named texts for the page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from siloom.reports.text import count, ordered, printable, si
from siloom.sim.result import Result


def details(name: str, result: Result) -> dict[str, Any]:
    """One machine's fields as texts, in groups."""
    facts = {"kind": result.kind, "workload": result.workload, "time": si(result.seconds, "s")}
    if result.cycles is not None:
        facts["cycles"] = count(result.cycles)
    if result.clock_hz is not None:
        facts["clock"] = si(result.clock_hz, "Hz")
    if result.utilization is not None:
        facts["utilisation"] = f"{100 * result.utilization:.3g} %"
    for key in ("operations", "flops"):
        if key in result.coverage:
            facts[f"coverage of {key}"] = f"{100 * result.coverage[key]:.4g} %"
    peaks = {"operations_per_s": "FLOP/s", "bytes_per_s": "B/s"}
    for key, value in _sorted(result.peaks):
        facts[f"peak {key.replace('_', ' ')}"] = si(value, peaks.get(key, ""))
    sections = {
        "Run": facts,
        "Checks": _flat(result.checks),
        "Bytes": {k: count(v) for k, v in _sorted(result.traffic_bytes)},
        "Stalls (cycles)": {k: count(v) for k, v in _sorted(result.stalls)},
        "Counters": {k: count(v) for k, v in _sorted(result.counters)},
        "Design": _flat(result.design),
        "Provenance": _flat(result.provenance),
    }
    return {
        "name": name,
        "kind": result.kind,
        "notes": [printable(n) for n in result.notes],
        "sections": {k: v for k, v in sections.items() if v},
        "lists": {
            "Operations run": [_flat(r) for r in result.rows],
            "Operations it does not support (left out)": [_flat(r) for r in result.unsupported],
        },
    }


def _sorted(mapping: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(k, mapping[k]) for k in ordered(mapping)]


def _flat(mapping: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested plain values as one level of dotted names."""
    out: dict[str, str] = {}
    for key, value in _sorted(mapping):
        if isinstance(value, Mapping) and value:
            out |= _flat(value, f"{prefix}{key}.")
        else:
            out[prefix + key] = _value(value)
    return out


def _value(value: object) -> str:
    if value is True or value is False:
        return "yes" if value else "no"
    if value is None:
        return "–"
    if isinstance(value, int) and abs(value) < 10_000:
        return str(value)
    if isinstance(value, int | float):
        return count(value)
    return printable(value if isinstance(value, str) else json.dumps(value, sort_keys=True))
