"""Amaranth's own simulator: nothing else to install, some thousand cycles a second."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

from siloom.rtl.exchange import RESET_CYCLES, Exchange, Plan, Seen
from siloom.rtl.tools import require


def simulate(component: Any, plans: Sequence[Plan], waves: Path | None = None) -> list[Seen]:
    """Run plans on a component, each from reset; with ``waves``, a VCD file of all signals is written.

    Raises:
        MissingPartError: Amaranth is not installed.
    """
    require("amaranth")
    from amaranth.hdl import ClockDomain, Module, Value
    from amaranth.sim import Simulator

    from siloom.rtl.twin import stream_sides

    sync = ClockDomain("sync")
    module = Module()
    module.domains += sync
    module.submodules.top = component
    ins, outs = stream_sides(component)
    wires = {name: (Value.cast(s.payload), s.valid, s.ready) for name, s in (*ins.items(), *outs.items())}
    sightings = []

    async def bench(ctx: Any) -> None:
        for plan in plans:
            exchange = Exchange(plan)
            given = [(side, *wires[name]) for name, side in exchange.producers.items()]
            taken = [(side, *wires[name]) for name, side in exchange.consumers.items()]
            ctx.set(sync.rst, 1)
            for _ in range(RESET_CYCLES):
                for producer, payload, valid, _ready in given:
                    ctx.set(valid, 0)
                    ctx.set(payload, producer.junk())
                for _consumer, _payload, _valid, ready in taken:
                    ctx.set(ready, 0)
                await ctx.tick()
            ctx.set(sync.rst, 0)
            for cycle in count():
                for producer, payload, valid, _ready in given:
                    offers, bits = producer.drive(cycle)
                    ctx.set(valid, offers)
                    ctx.set(payload, bits)
                for consumer, _payload, _valid, ready in taken:
                    ctx.set(ready, consumer.drive(cycle))
                for producer, _payload, _valid, ready in given:
                    producer.observe(cycle, bool(ctx.get(ready)))
                for consumer, payload, valid, _ready in taken:
                    consumer.observe(cycle, bool(ctx.get(valid)), ctx.get(payload))
                await ctx.tick()
                if not exchange.goes_on(cycle):
                    break
            sightings.append(exchange.seen)

    simulator = Simulator(module)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    if waves is None:
        simulator.run()
    else:
        with waves.open("w") as file, simulator.write_vcd(file):
            simulator.run()
    return sightings
