"""The cocotb test that runs inside the simulator: plans in, sightings out.

Loaded by name in the simulator's own process (see ``rtl/verilator.py``), never imported otherwise.
Inputs change just after the rising edge and everything is read at the falling edge, when the logic
has settled: one drive and one look per cycle, as in Amaranth's simulator.
"""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge

from siloom.rtl.exchange import RESET_CYCLES, Exchange, Plan, Seen
from siloom.rtl.names import sink_prefix, source_prefix
from siloom.rtl.plan_file import load_plans, save_seen

PERIOD_NS = 2


@cocotb.test()
async def exchange(dut: Any) -> None:
    """Run every plan, each from reset, and write what was seen."""
    folder = Path(os.environ["SILOOM_BENCH"])
    Clock(dut.clk, PERIOD_NS, "ns").start()
    plans = load_plans(folder / "plans.bin")
    save_seen(folder / "seen.bin", plans, [await _run(dut, plan) for plan in plans])


async def _run(dut: Any, plan: Plan) -> Seen:
    exchange = Exchange(plan)
    given = [(side, *_wires(dut, sink_prefix(name))) for name, side in exchange.producers.items()]
    taken = [(side, *_wires(dut, source_prefix(name))) for name, side in exchange.consumers.items()]
    rising, falling = RisingEdge(dut.clk), FallingEdge(dut.clk)
    dut.rst.value = 1
    for _ in range(RESET_CYCLES):
        for producer, payload, valid, _ready in given:
            valid.value = 0
            payload.value = producer.junk()
        for _consumer, _payload, _valid, ready in taken:
            ready.value = 0
        await rising
    dut.rst.value = 0
    for cycle in count():
        for producer, payload, valid, _ready in given:
            valid.value, payload.value = producer.drive(cycle)
        for consumer, _payload, _valid, ready in taken:
            ready.value = consumer.drive(cycle)
        await falling
        for producer, _payload, _valid, ready in given:
            producer.observe(cycle, bool(ready.value))
        for consumer, payload, valid, _ready in taken:
            there = bool(valid.value)
            consumer.observe(cycle, there, int(payload.value) if there else 0)
        await rising
        if not exchange.goes_on(cycle):
            break
    return exchange.seen


def _wires(dut: Any, prefix: str) -> tuple[Any, Any, Any]:
    return tuple(getattr(dut, f"{prefix}_{wire}") for wire in ("tdata", "tvalid", "tready"))
