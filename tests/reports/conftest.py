"""Results made up for the reports' tests, in the shape that the real machines give."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from siloom.sim.result import Phase, Result, Timeline

CAUSES = (
    "compute",
    "dispatch",
    "outstanding_requests",
    "mshr",
    "bandwidth",
    "memory_latency",
    "imbalance",
)
WORK = {"multiplies": 4_542_805, "adds": 2_711_693, "effective_multiplies": 4_542_805}


def _spread(total: int, weights: tuple[int, ...]) -> dict[str, int]:
    parts = [total * w // sum(weights) for w in weights]
    parts[0] += total - sum(parts)
    return dict(zip(CAUSES, parts, strict=True))


def _wave(lane: int, bins: int, busy_until: float) -> tuple[float, ...]:
    return tuple(
        0.0 if i > busy_until * bins else round(0.55 + 0.4 * math.sin(0.7 * lane + i / 9), 4) for i in range(bins)
    )


def make_outerspace(machine: str = "outerspace", workload: str = "wiki-Vote.mtx", scale: int = 1) -> Result:
    multiply, merge = 700_003 * scale, 1_100_006 * scale
    one, two = _spread(multiply, (30, 5, 20, 5, 25, 10, 5)), _spread(merge, (45, 1, 9, 5, 12, 8, 20))
    clock, cycles = 1.5e9, multiply + merge
    energy = {"pe": 2.1e-3, "l0": 0.9e-3, "l1": 0.4e-3, "crossbar": 0.3e-3, "dram": 11.0e-3}
    area = {"pe": 49.1, "l0": 20.5, "l1": 3.1, "crossbar": 13.9}
    bins = 110
    return Result(
        machine=machine,
        workload=workload,
        seconds=cycles / clock,
        cycles=cycles,
        clock_hz=clock,
        energy_j=math.fsum(energy.values()),
        energy_parts=energy,
        area_mm2=math.fsum(area.values()),
        area_parts=area,
        operations=WORK,
        traffic_bytes={
            "a": 1_300_000,
            "b": 1_300_000,
            "partial": 109_000_000,
            "c": 22_000_000,
            "spill": 40_000,
            "dram_read": 63_000_000,
            "dram_write": 91_000_000,
            "padding": 20_360_000,
        },
        phases=(Phase("multiply", multiply, multiply / clock, one), Phase("merge", merge, merge / clock, two)),
        stalls={c: one[c] + two[c] for c in CAUSES},
        utilization=0.413,
        checks={"product_nnz": True, "checksum": True, "worst_relative_error": 3.1e-16},
        counters={"l0_hits": 3_000_000, "l0_misses": 400_321, "chunks": 103_689},
        peaks={"operations_per_s": 3.84e11, "bytes_per_s": 1.28e11},
        timeline=Timeline(
            cycles / clock / bins,
            {
                "tile": {f"tile {i}": _wave(i, bins, 0.97) for i in range(16)},
                "channel": {f"channel {i}": _wave(3 * i, bins, 0.99) for i in range(16)},
            },
        ),
        notes=("the scratchpad overflowed for 12 rows, which were merged in two passes",),
        design={"clock_hz": clock, "tiles": 16, "pes_per_tile": 16, "l0_bytes": 16384, "dram_latency_s": 8e-8},
        provenance={
            "design_hash": "0123456789abcdef",
            "workload_hash": "feedfacecafebeef",
            "version": "0.1.0",
            "tables": {"energy": "89ab", "area": "cdef"},
            "source": {"file": workload, "product": "A·A"},
        },
    )


def make_library(machine: str, seconds: float, peak: float, bandwidth: float, energy: float) -> Result:
    return Result(
        machine=machine,
        workload="wiki-Vote.mtx",
        seconds=seconds,
        energy_j=energy,
        energy_parts={"board at TDP (assumed, an upper estimate)": energy},
        operations=WORK,
        traffic_bytes={
            "a": 2_000_000,
            "b": 60_000_000,
            "partial": 0,
            "c": 22_000_000,
            "dram_read": 62_000_000,
            "dram_write": 22_000_000,
        },
        phases=(Phase("symbolic", None, 0.4 * seconds), Phase("numeric", None, 0.6 * seconds)),
        utilization=0.01,
        peaks={"operations_per_s": peak, "bytes_per_s": bandwidth},
        design={"library": "cusparse", "bandwidth_bytes_per_s": bandwidth},
        provenance={"design_hash": "00aa", "workload_hash": "feedfacecafebeef"},
    )


def make_host() -> Result:
    return Result(
        machine="host",
        workload="wiki-Vote.mtx",
        kind="measured",
        seconds=0.0352,
        operations=WORK,
        traffic_bytes={
            "a": 1_300_000,
            "b": 1_300_000,
            "partial": 0,
            "c": 22_000_000,
            "dram_read": 2_600_000,
            "dram_write": 22_000_000,
        },
        phases=(Phase("product", None, 0.0352),),
        counters={"repeats": 5, "fastest_ns": 35_000_000, "slowest_ns": 36_100_000},
        notes=("measured with scipy 1.17, 1 thread(s): median of 5",),
        design={"library": "auto", "threads": 0},
        provenance={"cpu": "a CPU", "library": "scipy 1.17", "workload_hash": "feedfacecafebeef"},
    )


@pytest.fixture
def outerspace() -> Result:
    return make_outerspace()


@pytest.fixture
def variant() -> Callable[..., Result]:
    """Makes an OuterSPACE-like result of another name, workload or size."""
    return make_outerspace


@pytest.fixture
def comparison() -> list[Result]:
    return [
        make_outerspace(),
        make_library("k40-cusparse", 0.0171, 1.43e12, 2.88e11, 4.02),
        make_library("k40-cusp", 0.0224, 1.43e12, 2.88e11, 5.26),
        make_library("xeon-e5-1650v4", 0.0094, 3.5e11, 7.68e10, 1.3),
        make_host(),
    ]


@pytest.fixture
def speedups(comparison: list[Result]) -> dict[str, dict[str, float]]:
    baselines = [r for r in comparison if r.machine in ("k40-cusparse", "k40-cusp", "xeon-e5-1650v4")]
    return {r.machine: {b.machine: b.seconds / r.seconds for b in baselines} for r in comparison}
