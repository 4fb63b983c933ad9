"""The numbers that a point is judged by: their names, units and which way is better, in one table.

``time``, ``energy``, ``area``, ``edp``, ``power`` are the short names of objectives; constraints, tables and stores use
the names with units. A figure of quality of :mod:`siloom.sim.approximation` (``recall``, ``mass_kept``, ...) is a
metric under its own name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from siloom.sim.errors import UsageError, did_you_mean


@dataclass(frozen=True)
class Metric:
    """A number of a row: its name there, its unit, its short name, and whether more of it is better."""

    name: str
    unit: str
    short: str
    more_is_better: bool = False


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("seconds", "s", "time"),
        Metric("energy_j", "J", "energy"),
        Metric("area_mm2", "mm2", "area"),
        Metric("edp_js", "J s", "edp"),
        Metric("power_w", "W", "power"),
        Metric("cycles", "", "cycles"),
        Metric("clock_hz", "Hz", "clock", more_is_better=True),
        Metric("utilization", "", "utilization", more_is_better=True),
        Metric("accuracy", "", "accuracy", more_is_better=True),
        Metric("loss", "", "loss"),
        Metric("saturation_rate", "", "saturation_rate"),
        Metric("recall", "", "recall", more_is_better=True),
        Metric("precision", "", "precision", more_is_better=True),
        Metric("mass_kept", "", "mass_kept", more_is_better=True),
        Metric("output_error", "", "output_error"),
        Metric("candidate_ratio", "", "candidate_ratio"),
        Metric("luts", "", "luts"),
        Metric("ffs", "", "ffs"),
        Metric("dsps", "", "dsps"),
        Metric("brams", "", "brams"),
    )
}


def metric(name: str) -> Metric:
    """The metric that a name or short name stands for.

    Raises:
        UsageError: neither is known; with the nearest.
    """
    short = {known.short: known for known in METRICS.values()}
    found = METRICS.get(name) or short.get(name)
    if found is None:
        raise UsageError(f"no metric '{name}'{did_you_mean(name, {*METRICS, *short})}")
    return found
