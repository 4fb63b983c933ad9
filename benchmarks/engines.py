"""How fast the engines are: one command, one table, every rate beside two yardsticks of the same run.

Usage: python benchmarks/engines.py [--scale FACTOR]

``x cumsum`` is the time per unit over that of numpy's cumulative sum of as many int64: it says how
good the code is, whatever the computer. ``plain Python`` is how many times slower the plain
reference is on a small case. Add an engine by adding a line to ``measurements``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from siloom.sim.engine import dispatch, pipeline
from siloom.sim.engine.dispatch_reference import fixed_reference, greedy_reference
from siloom.sim.engine.pipeline_reference import run_pipeline_reference

REPEATS = 5
"""The best of so many runs is shown: the others were disturbed by other work on the computer."""


class Measurement(NamedTuple):
    """What is timed: ``run`` does ``units`` units of work, ``reference`` does ``reference_units``."""

    name: str
    unit: str
    units: int
    run: Callable[[], object]
    reference: Callable[[], object] | None = None
    reference_units: int = 0


def measurements(scale: float) -> list[Measurement]:
    """Every engine on seeded random work; ``scale`` 1 takes about half a minute in all."""
    rng = np.random.default_rng(0)
    found: list[Measurement] = []

    items, small = int(250_000 * scale), 40
    for stages in (4, 16):
        service = rng.integers(1, 10, (items, stages))
        slots = np.full(stages - 1, 2)
        few, places = service[:small].tolist(), slots.tolist()
        found.append(
            Measurement(
                f"pipeline, {stages} stages, 2 slots",
                "item and stage",
                items * stages,
                partial(pipeline.run_pipeline, service, slots),
                partial(run_pipeline_reference, few, places, [0] * small),
                small * stages,
            )
        )

    items, small = int(2_000_000 * scale), 60
    service = rng.integers(1, 100, items)
    few, early = service[:small].tolist(), [0] * small
    port = dispatch.Port(2, 3)
    turns = [i % 128 for i in range(small)]
    for servers in (16, 128, 1024):
        found.append(
            Measurement(
                f"dispatch greedy, {servers} servers",
                "item",
                items,
                partial(dispatch.greedy, service, servers),
                partial(greedy_reference, few, servers, early, small, 0),
                small,
            )
        )
    found += [
        Measurement("dispatch greedy, 128, port", "item", items, partial(dispatch.greedy, service, 128, None, port)),
        Measurement("dispatch static blocks, 128", "item", items, partial(dispatch.static_blocks, service, 128)),
        Measurement("dispatch round robin, 128", "item", items, partial(dispatch.round_robin, service, 128)),
        Measurement(
            "dispatch round robin, 128, port",
            "item",
            items,
            partial(dispatch.round_robin, service, 128, None, port),
            partial(fixed_reference, few, turns, early, *port),
            small,
        ),
    ]
    return found


def nanoseconds(run: Callable[[], object], units: int) -> float:
    """CPU time per unit (all is single-threaded), the best of some runs after one that warms up."""
    run()
    best = float("inf")
    for _ in range(REPEATS):
        start = time.process_time()
        run()
        best = min(best, time.process_time() - start)
    return best / units * 1e9


def main() -> None:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0, help="work done, 1 = as published (default)")
    scale = parser.parse_args().scale
    numbers = np.random.default_rng(0).integers(0, 100, int(2_000_000 * scale))
    yardstick = nanoseconds(partial(np.cumsum, numbers), len(numbers))
    print(f"numpy cumsum: {yardstick:.2f} ns per int64")
    print(f"{'engine':<34} {'ns/unit':>8} {'M units/s':>10} {'x cumsum':>9} {'plain Python':>13}  unit")
    for one in measurements(scale):
        spent = nanoseconds(one.run, one.units)
        slower = f"{nanoseconds(one.reference, one.reference_units) / spent:.0f} x" if one.reference else "-"
        print(
            f"{one.name:<34} {spent:>8.1f} {1e3 / spent:>10.1f} {spent / yardstick:>9.1f} {slower:>13}  {one.unit}",
            flush=True,
        )


if __name__ == "__main__":
    main()
