"""The cocotb test that runs inside the simulator: plans in, sightings out.

Loaded by name in the simulator's own process (see ``rtl/verilator.py``), never imported otherwise.
Inputs change just after the rising edge and everything is read at the falling edge, when the logic
has settled: one drive and one look per cycle, as in Amaranth's simulator.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge

from siloom.rtl.exchange import RESET_CYCLES, Exchange, Plan, Seen, load_plans, save_seen

PERIOD_NS = 2


@cocotb.test()
async def exchange(dut: Any) -> None:
    """Run every plan, each from reset, and write what was seen."""
    folder = Path(os.environ["SILOOM_BENCH"])
    Clock(dut.clk, PERIOD_NS, "ns").start()
    plans = load_plans(folder / "plans.npz")
    save_seen(folder / "seen.npz", [await _run(dut, plan) for plan in plans], plans[0].result_bits)


async def _run(dut: Any, plan: Plan) -> Seen:
    exchange = Exchange(plan)
    rising, falling = RisingEdge(dut.clk), FallingEdge(dut.clk)
    dut.rst.value = 1
    dut.s_axis_tvalid.value = 0
    dut.m_axis_tready.value = 0
    for _ in range(RESET_CYCLES):
        dut.s_axis_tdata.value = exchange.junk()
        await rising
    dut.rst.value = 0
    going = True
    while going:
        valid, payload, ready = exchange.drive()
        dut.s_axis_tvalid.value = valid
        dut.s_axis_tdata.value = payload
        dut.m_axis_tready.value = ready
        await falling
        going = exchange.observe(
            bool(dut.s_axis_tready.value), bool(dut.m_axis_tvalid.value), int(dut.m_axis_tdata.value)
        )
        await rising
    return exchange.seen
