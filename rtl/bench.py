"""The cocotb test that runs inside the simulator: plans in, sightings out.

Loaded by name in the simulator's own process (see ``rtl/verilator.py``), never imported otherwise.
It wakes at every falling edge, notes what stood on the wires at the rising edge before it, and drives what the next
one is to see (see ``rtl/buses.py``).
"""

from __future__ import annotations

import json
import os
from itertools import count
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from siloom.rtl.buses import Board, Buses
from siloom.rtl.exchange import RESET_CYCLES, Exchange, Plan, Seen
from siloom.rtl.plan_file import load_plans, save_seen

PERIOD_NS = 2


@cocotb.test()
async def exchange(dut: Any) -> None:
    """Run every plan, each from reset, and write what was seen."""
    folder = Path(os.environ["SILOOM_BENCH"])
    buses = Buses(**json.loads((folder / "buses.json").read_text(encoding="utf-8")))
    Clock(dut.clk, PERIOD_NS, "ns").start()
    plans = load_plans(folder / "plans.bin")
    save_seen(folder / "seen.bin", plans, [await _run(dut, plan, buses) for plan in plans])


async def _run(dut: Any, plan: Plan, buses: Buses) -> Seen:
    exchange = Exchange(plan)
    board = Board(exchange, buses)
    given, seen, falling = dut.given, dut.seen, FallingEdge(dut.clk)
    await falling
    dut.rst.value = 1
    for _ in range(RESET_CYCLES):
        given.value = board.reset()
        await falling
    dut.rst.value = 0
    for cycle in count():
        given.value = board.drive(cycle)
        await falling
        board.observe(cycle, int(seen.value))
        if not exchange.goes_on(cycle):
            break
    return exchange.seen
