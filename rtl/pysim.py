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
    from amaranth.hdl import Cat, ClockDomain, Module, Value
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
            # Every call of set settles the whole design, so what is driven in a cycle is driven as one word.
            driven = Cat(*(part for _, payload, valid, _ in given for part in (payload, valid)),
                         *(ready for _, _, _, ready in taken))  # fmt: skip
            ctx.set(sync.rst, 1)
            for _ in range(RESET_CYCLES):
                idle = [(0, producer.junk()) for producer, _, _, _ in given]
                ctx.set(driven, _word(given, idle, [0] * len(taken)))
                await ctx.tick()
            ctx.set(sync.rst, 0)
            for cycle in count():
                offers = [producer.drive(cycle) for producer, _, _, _ in given]
                ctx.set(driven, _word(given, offers, [consumer.drive(cycle) for consumer, _, _, _ in taken]))
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


def _word(given: Sequence[Any], offers: Sequence[tuple[int, int]], readies: Sequence[int]) -> int:
    """Payload and valid of every input, then ready of every output, from the lowest bit up."""
    word = place = 0
    for (_, payload, _, _), (valid, bits) in zip(given, offers, strict=True):
        word |= (bits | int(valid) << len(payload)) << place
        place += len(payload) + 1
    for ready in readies:
        word |= int(ready) << place
        place += 1
    return word
