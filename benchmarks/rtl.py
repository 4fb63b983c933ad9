"""How fast each simulator runs the systolic array's hardware: every cycle driven, every sum compared.

Usage: python benchmarks/rtl.py [--array rows=8,cols=8,dataflow=os] [--simulator NAME]... [--scale FACTOR]

Both operand streams give a beat in every cycle. ``cycles/s`` is by processor time of the simulator's process (for
Amaranth's own, this one) in a long run, less that of a run of some cycles: neither the start of Python in it nor the
build counts. ``build`` is the processor time of what the first run did besides: text written and compiled, or found
in the cache. Simulators that are not installed are left out; a run with wrong bits or cycles says so.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from siloom.rtl.cosim import SIMULATORS, cosimulate, score
from siloom.rtl.registry import MachineBlock, find_block
from siloom.rtl.trials._systolic_streams import Product
from siloom.rtl.trials.systolic import trial_of
from siloom.sim.errors import MissingPartError

CYCLES = {"amaranth": 3_000, "icarus": 20_000, "verilator": 100_000, "cxxrtl": 1_000_000}
"""Of the long runs, about."""

STREAMED = 200
"""Products of each sum: long enough that filling the array does not count, short enough that sums come out often."""


def processor_seconds(simulator: str) -> float:
    """Of where the simulation runs: this process, or those that it started and that have ended."""
    if simulator == "amaranth":
        return time.process_time()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def operands(block: MachineBlock, cycles: int) -> Product:
    """A product that keeps the array busy for about so many cycles."""
    design = block.design.as_dict()
    rows, cols = int(design["rows"]), int(design["cols"])
    side = max(1, round((cycles / STREAMED) ** 0.5))
    m, n, k = {
        "os": (side * rows, side * cols, STREAMED),
        "ws": (STREAMED, side * cols, side * rows),
        "is": (side * cols, STREAMED, side * rows),
    }[str(design["dataflow"])]
    rng = np.random.default_rng(1)
    a, b = rng.integers(-128, 128, (m, k)), rng.integers(-128, 128, (k, n))
    return Product(a, b, a @ b)


def measure(block: MachineBlock, simulator: str, cycles: int) -> str:
    """A line of the table."""
    rng = np.random.default_rng(2)
    short, long = (
        trial_of(block.design, name, [operands(block, c)], rng) for name, c in (("short", 1), ("long", cycles))
    )
    spent = []
    for trial in (short, short, long):
        begun = processor_seconds(simulator)
        seen = cosimulate(block.make, [trial.plan], simulator)
        spent.append(processor_seconds(simulator) - begun)
    verdict = score([long], seen, 0.0)
    rate = (verdict.rtl_cycles - (short.model_cycles or 0)) / max(spent[2] - spent[1], 1e-9)
    wrong = "" if verdict.passed else f"  WRONG: {verdict.fault}"
    return f"{simulator:<12} {verdict.rtl_cycles:>10} {rate:>12,.0f} {max(spent[0] - spent[1], 0.0):>9.1f} s{wrong}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--array", default="rows=8,cols=8,dataflow=os", help="settings of the array")
    parser.add_argument("--simulator", action="append", choices=list(SIMULATORS), help="default: all")
    parser.add_argument("--scale", type=float, default=1.0, help="length of the runs, 1 = as published (default)")
    given = parser.parse_args()
    block = find_block(f"systolic:{given.array}")
    assert isinstance(block, MachineBlock)
    print(f"systolic:{block.size}")
    print(f"{'simulator':<12} {'cycles':>10} {'cycles/s':>12} {'build':>11}")
    for simulator in given.simulator or SIMULATORS:
        try:
            print(measure(block, simulator, int(CYCLES[simulator] * given.scale)), flush=True)
        except MissingPartError as missing:
            print(f"{simulator:<12} {missing}")


if __name__ == "__main__":
    main()
