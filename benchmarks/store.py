"""How many rows a second a store takes and gives back, and how long it needs for a front.

Usage: python benchmarks/store.py [--rows N] [--folder PATH]

Rows are added as explorations add them, in transactions of 1000 that each wait for the disk, with details as long as
a run's. ``wall`` is what one waits, on this disk and beside whatever else runs; ``CPU`` is this process alone.
``x insert`` is the CPU time of a row over that of one bare insert of its key in memory in the same run: it says how
good the code is, whatever the computer.
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from siloom.explore.metrics import METRICS
from siloom.explore.row import Row, canonical
from siloom.explore.store import Store

BATCH = 1000
FRONTS = (
    ("seconds", "area_mm2"),
    ("seconds", "energy_j", "area_mm2"),
    ("seconds", "power_w", "recall"),
)
"""The last has metrics without columns of their own."""
PARTS = {"dram": 3.25e-6, "sram": 1.5e-6, "mac": 7.75e-7, "noc": 1.25e-7}
DETAILS = canonical(
    {
        "cycles": 123_456,
        "workloads": [
            {
                "name": "web",
                "weight": 1.0,
                "seconds": 1.2e-4,
                "cycles": 123_456,
                "phases": [
                    {"name": name, "cycles": 61_728, "seconds": 6e-5, "stalls": {"dram": 40_000, "compute": 21_728}}
                    for name in ("multiply", "merge")
                ],
                "stalls": {"dram": 80_000, "compute": 43_456},
                "energy_parts": PARTS,
                "area_parts": PARTS,
            }
        ],
    }
)


def rows(count: int) -> list[Row]:
    """Rows with keys as spread as hashes and metrics that are drawn independently."""
    rng = np.random.default_rng(0)
    names = ("seconds", "energy_j", "area_mm2", "edp_js", "power_w", "recall", "cycles")
    keys = rng.bytes(16 * count)
    return [
        Row(
            key=keys[16 * n : 16 * n + 16],
            machine="outerspace",
            settings={"tiles": n % 64, "pes_per_tile": n % 17, "clock_hz": 1.5e9},
            workload="web",
            fidelity="cycles",
            status="ok",
            metrics=dict(zip(names, values, strict=True)),
            bottleneck="dram",
            details=DETAILS,
        )
        for n, values in enumerate(rng.random((count, len(names))).tolist())
    ]


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds of ``run``."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


def bare_inserts(given: list[Row]) -> None:
    """The yardstick: keys alone, in memory, in one transaction."""
    with sqlite3.connect(":memory:") as db:
        db.execute("CREATE TABLE row (key BLOB NOT NULL UNIQUE)")
        db.executemany("INSERT INTO row VALUES (?)", [(one.key,) for one in given])
    db.close()


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--folder", type=Path, help="where the store lies meanwhile (default: the system's own)")
    chosen = parser.parse_args()
    given = rows(chosen.rows)
    yardstick = timed(lambda: bare_inserts(given))[1] / len(given)
    print(f"{len(given):,} rows; a bare insert in memory: {yardstick * 1e6:.2f} us")
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder, Store.open(Path(folder) / "s.db") as store:

        def add() -> None:
            for first in range(0, len(given), BATCH):
                store.add(given[first : first + BATCH])

        print(f"{'what':<38} {'wall s':>8} {'CPU s':>8} {'rows/s wall':>12} {'rows/s CPU':>12} {'x insert':>9}")
        parts: list[tuple[str, Callable[[], object]]] = [
            ("add, 1000 at a time", add),
            ("add again: nothing is new", add),
            ("ask for each key", lambda: store.has([one.key for one in given])),
            ("read all", lambda: [None for _ in store.rows()]),
        ]
        for names in FRONTS:
            judged = [METRICS[name] for name in names]
            parts.append((f"front of {', '.join(names)}", lambda judged=judged: store.front(judged)))
        for what, run in parts:
            wall, cpu = timed(run)
            print(
                f"{what:<38} {wall:>8.2f} {cpu:>8.2f} {len(given) / wall:>12,.0f} {len(given) / cpu:>12,.0f} "
                f"{cpu / len(given) / yardstick:>9.1f}",
                flush=True,
            )
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
        print(f"{size / 2**20:.1f} MiB on disk, {size / len(given):.0f} bytes a row")


if __name__ == "__main__":
    main()
