"""All streams of a component on two buses, so that a bench in Python handles two numbers a cycle, not three a stream.

A module in Verilog around the component joins everything that is driven into one input, ``given``, and keeps in one
register, ``seen``, what stood on all other wires at the rising edge of the clock. A bench that drives and looks
at the falling edge sees exactly what the registers saw, and wakes once a cycle.

Both hold one stream after another from the lowest bit: ``given`` valid and payload of each stream in, then ready of
each stream out; ``seen`` ready of each stream in, then valid and payload of each stream out. Where there is nothing
valid, the payload is seen as zero, whatever stands there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from siloom.rtl.exchange import Consumer, Exchange, Producer
from siloom.rtl.names import sink_prefix, source_prefix

BENCH = "bench"
"""The module around the component."""


@dataclass(frozen=True)
class Buses:
    """Payload bits of the streams in and out, by name, in the order in which they lie on both buses."""

    ins: Mapping[str, int]
    outs: Mapping[str, int]

    @property
    def given_bits(self) -> int:
        """Width of ``given``."""
        return sum(1 + bits for bits in self.ins.values()) + len(self.outs)

    @property
    def seen_bits(self) -> int:
        """Width of ``seen``."""
        return len(self.ins) + sum(1 + bits for bits in self.outs.values())


def buses_of(component: Any) -> Buses:
    """The buses of a component whose ports are streams."""
    from amaranth.hdl import Value

    from siloom.rtl.twin import stream_sides

    ins, outs = ({name: len(Value.cast(s.payload)) for name, s in side.items()} for side in stream_sides(component))
    return Buses(ins, outs)


def bench_module(buses: Buses, top: str) -> str:
    """Verilog of the module :data:`BENCH` around the module ``top``, which has clk, rst and AXI-Stream ports."""
    ports, wires, seen = ["    .clk(clk)", "    .rst(rst)"], [], []
    at = 0
    for number, (name, bits) in enumerate(buses.ins.items()):
        wire, ready = sink_prefix(name), f"ready{number}"
        ports += [f"    .{wire}_tvalid(given[{at}])", f"    .{wire}_tready({ready})"]
        ports += [f"    .{wire}_tdata(given[{at + bits}:{at + 1}])"] if bits else []
        wires.append(f"  wire {ready};")
        seen.append(ready)
        at += 1 + bits
    for number, (name, bits) in enumerate(buses.outs.items()):
        wire, valid, data = source_prefix(name), f"valid{number}", f"data{number}"
        ports += [f"    .{wire}_tvalid({valid})", f"    .{wire}_tready(given[{at}])"]
        ports += [f"    .{wire}_tdata({data})"] if bits else []
        wires += [f"  wire {valid};"] + ([f"  wire [{bits - 1}:0] {data};"] if bits else [])
        seen += [valid] + ([f"{{{bits}{{{valid}}}}} & {data}"] if bits else [])
        at += 1
    held = ",\n      ".join(reversed(seen))
    return (
        f"module {BENCH}(\n  input clk,\n  input rst,\n  input [{buses.given_bits - 1}:0] given,\n"
        f"  output reg [{buses.seen_bits - 1}:0] seen\n);\n" + "\n".join(wires) + "\n"
        f"  {top} top(\n" + ",\n".join(ports) + "\n  );\n"
        f"  always @(posedge clk)\n    seen <= {{\n      {held}\n    }};\nendmodule\n"
    )


class Board:
    """A run of a plan, as numbers on the buses. Streams that the plan does not speak of rest."""

    def __init__(self, exchange: Exchange, buses: Buses) -> None:
        self._producers: list[tuple[Producer, int, int]] = []  # with the places of its bits on both buses
        self._consumers: list[tuple[Consumer, int, int, int]] = []  # and the payload's width
        self._stalling: list[tuple[Consumer, int]] = []
        self._ready = 0  # of consumers that never stall
        self._any_valid = 0
        place, look = 0, 0
        for name, bits in buses.ins.items():
            if name in exchange.producers:
                self._producers.append((exchange.producers[name], place, look))
            place, look = place + 1 + bits, look + 1
        for name, bits in buses.outs.items():
            if name in exchange.consumers:
                consumer = exchange.consumers[name]
                self._consumers.append((consumer, place, look, bits))
                if consumer.stalls:
                    self._stalling.append((consumer, place))
                else:
                    self._ready |= consumer.drive(0) << place
                self._any_valid |= 1 << look
            place, look = place + 1, look + 1 + bits
        self._waits = False

    def reset(self) -> int:
        """What is given in reset: junk that is not valid."""
        given = 0
        for producer, place, _look in self._producers:
            given |= producer.junk() << (place + 1)
        return given

    def drive(self, cycle: int) -> int:
        """What is given in a cycle."""
        given = self._ready
        for producer, place, _look in self._producers:
            valid, payload = producer.drive(cycle)
            given |= (payload << 1 | valid) << place
        for consumer, place in self._stalling:
            given |= consumer.drive(cycle) << place
        return given

    def observe(self, cycle: int, seen: int) -> None:
        """Note what was seen in it."""
        for producer, _place, look in self._producers:
            producer.observe(cycle, bool(seen >> look & 1))
        if not (seen & self._any_valid or self._waits):
            return  # for a consumer, a cycle without a beat after one without is nothing
        self._waits = False
        for consumer, _place, look, bits in self._consumers:
            side = seen >> look
            valid = bool(side & 1)
            moved = consumer.observe(cycle, valid, side >> 1 & ((1 << bits) - 1) if valid else 0)
            self._waits |= valid and not moved
