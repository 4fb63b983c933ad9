"""How fast systolic arrays are simulated: pairs of (design, GEMM) a second on one core, and BERT-large whole.

Usage: python benchmarks/systolic.py [--pairs N]

Each rate stands beside numpy's cumulative sum of as many int64 in the same run (``x cumsum``), which says how
good the code is, whatever the computer.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import siloom
from siloom.sim.engine.systolic import array_cycles, jobs, run_gemms, scalesim_cycles
from siloom.sim.machine import run_workload
from siloom.sim.memory import write_costs

REPEATS = 5
"""The best of so many runs is shown: the others were disturbed by other work on the computer."""


def best(run: Callable[[], Any]) -> float:
    """Seconds of the fastest of some runs, after one that compiles."""
    run()
    seconds = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def pairs(count: int, seed: int = 0) -> dict[str, Any]:
    """Random arrays of 4 to 256 cells a side with random products of up to 4096 a side."""
    rng = np.random.default_rng(seed)
    return {
        "dataflow": rng.integers(0, 3, count),
        "rows": 2 ** rng.integers(2, 9, count),
        "cols": 2 ** rng.integers(2, 9, count),
        **{name: rng.integers(1, 4096, count) for name in "mnk"},
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=200_000, help="(design, GEMM) pairs of each line")
    count = parser.parse_args().pairs
    shapes = pairs(count)
    srams = {"ifmap_bytes": 2**20, "filter_bytes": 2**20, "ofmap_bytes": 2**20}
    small = {"ifmap_bytes": 2**18, "filter_bytes": 2**18, "ofmap_bytes": 2**19}
    lines: dict[str, Callable[[], Any]] = {
        "SCALE-Sim's counts, closed form": lambda: scalesim_cycles(**shapes),
        "array alone, closed form": lambda: array_cycles(**shapes),
        "schedule, ideal memory": lambda: run_gemms(jobs(**shapes)),
        "schedule, 1 MiB SRAMs, 16 B a cycle": lambda: run_gemms(jobs(**shapes, **srams, bytes_per_cycle=16.0)),
        "schedule, 256 KiB SRAMs, 16 B a cycle": lambda: run_gemms(jobs(**shapes, **small, bytes_per_cycle=16.0)),
        "the same, rate by the share of writes": lambda: run_gemms(
            jobs(**shapes, **small, bytes_per_cycle=16.0, write_costs=write_costs("ddr4-2400"))
        ),
    }
    array = np.arange(count)
    yardstick = best(lambda: np.cumsum(array))
    print(f"{'':40} {'pairs/s':>12} {'ns/pair':>9} {'x cumsum':>9}   bound")
    for name, run in lines.items():
        seconds = best(run)
        print(f"{name:40} {count / seconds:12,.0f} {1e9 * seconds / count:9.1f} {seconds / yardstick:9.1f}   100,000/s")
    work = siloom.load("bert-large:seq=384")
    for name in ("systolic", "systolic:convention=scalesim", "systolic:rows=128,cols=128,memory=hbm2-2.0"):
        machine = siloom.machine(name)
        seconds = best(lambda machine=machine: run_workload(machine, work))  # type: ignore[misc]
        print(f"bert-large:seq=384 on {name}: {1e3 * seconds:.2f} ms (bound 100 ms)")


if __name__ == "__main__":
    main()
