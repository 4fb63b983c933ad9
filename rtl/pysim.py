"""Amaranth's own simulator: nothing else to install, some thousand cycles a second."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from siloom.rtl.exchange import RESET_CYCLES, Exchange, Plan, Seen
from siloom.rtl.tools import require


def simulate(twin: Any, plans: Sequence[Plan]) -> list[Seen]:
    """Run plans on a twin, each from reset.

    Raises:
        MissingPartError: Amaranth is not installed.
    """
    require("amaranth")
    from amaranth.hdl import ClockDomain, Module, Value
    from amaranth.sim import Simulator

    sync = ClockDomain("sync")
    module = Module()
    module.domains += sync
    module.submodules.twin = twin
    given, given_valid, given_ready = Value.cast(twin.i.payload), twin.i.valid, twin.i.ready
    result, result_valid, result_ready = Value.cast(twin.o.payload), twin.o.valid, twin.o.ready
    sightings = []

    async def bench(ctx: Any) -> None:
        for plan in plans:
            exchange = Exchange(plan)
            ctx.set(sync.rst, 1)
            ctx.set(given_valid, 0)
            ctx.set(result_ready, 0)
            for _ in range(RESET_CYCLES):
                ctx.set(given, exchange.junk())
                await ctx.tick()
            ctx.set(sync.rst, 0)
            going = True
            while going:
                valid, payload, ready = exchange.drive()
                ctx.set(given_valid, valid)
                ctx.set(given, payload)
                ctx.set(result_ready, ready)
                going = exchange.observe(bool(ctx.get(given_ready)), bool(ctx.get(result_valid)), ctx.get(result))
                await ctx.tick()
            sightings.append(exchange.seen)

    simulator = Simulator(module)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return sightings
