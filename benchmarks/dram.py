"""How many DRAM requests a second the controller's engine serves on one core.

Usage: python benchmarks/dram.py [--requests N] [--window W]

``M req/s`` counts everything from addresses to completion clocks (sorting by channel too), the best of
some runs. ``x cumsum`` is the time of a request over that of one int64 in numpy's cumulative sum in the same
run: it says how good the code is, whatever the computer. ``bus`` is the share of the peak that was reached.
Below stands DRAMsim3's convention, clock by clock, under that tool's own drivers.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from siloom.reports.experiments.dram import simulate_convention
from siloom.reports.reproduce import published
from siloom.sim.engine.dram_driver import replay
from siloom.sim.engine.dram_timing import NEVER
from siloom.sim.memory import Policy, address_mapping, part

PARTS = ("ddr4-2400", "ddr3-2133", "hbm2-2.0", "hbm3-6.4")
WRITES = (0.0, 1 / 3, 1.0)
"""Shares of writes."""
REPEATS = 5


def seconds(run: Callable[[], object], repeats: int = REPEATS) -> float:
    """CPU time of ``run``, the best of some after one that warms up."""
    run()
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        run()
        best = min(best, time.process_time() - start)
    return best


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--requests", type=int, default=1_000_000, help="requests of each stream")
    parser.add_argument("--window", type=int, default=16, help="reads that a channel chooses from")
    given = parser.parse_args()
    n = given.requests
    policy = Policy(window=given.window)
    rng = np.random.default_rng(0)
    yardstick = seconds(partial(np.cumsum, rng.integers(0, 100, n))) / n
    print(f"numpy cumsum: {yardstick * 1e9:.2f} ns per int64; window {given.window}, {n} requests")
    print(f"{'part':<12} {'addresses':<10} {'writes':>6} {'M req/s':>8} {'ns/req':>7} {'x cumsum':>9} {'bus':>6}")
    arrivals = np.zeros(n, np.int64)
    for name in PARTS:
        found = part(name)
        mapped = address_mapping(found)
        for kind in ("stream", "random"):
            for share in WRITES:
                bursts = (
                    np.arange(n) if kind == "stream" else rng.integers(0, found.capacity_bytes // found.burst_bytes, n)
                )
                run = partial(
                    replay, bursts * found.burst_bytes, rng.random(n) < share, arrivals, mapped, found.timing, policy
                )
                spent = seconds(run) / n
                reached = n * found.timing.burst / found.channels / run()[2].max()
                print(
                    f"{name:<12} {kind:<10} {share:>6.2f} {1e-6 / spent:>8.1f} {spent * 1e9:>7.1f} "
                    f"{spent / yardstick:>9.1f} {reached:>6.1%}",
                    flush=True,
                )
    print(f"\n{'as DRAMsim3, 1,000,000 clocks':<30} {'M req/s':>8}")
    for case in dict.fromkeys(point.case for point in published("dram")):
        run_case = partial(simulate_convention, case)
        served = int((run_case().accepted < NEVER).sum())
        print(f"{case:<30} {served / seconds(run_case, repeats=2) / 1e6:>8.2f}", flush=True)


if __name__ == "__main__":
    main()
