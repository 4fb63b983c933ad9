"""A ring of registers around a design, so that it can be placed alone and timed honestly.

A place-and-route tool counts as the clock what lies between two registers. Alone in a part, a unit
whose inputs lead through logic would be timed without that logic, and one with more port bits than the
part has pins would not be placed at all. So every input bit comes from a register and every output
bit goes to one. The input registers are shift chains, each from a pin; behind the output registers
other chains take what they hold and shift it out through pins. A few pins serve any design, and nothing
of the design can be optimised away. The design's own module is kept, so its cells are counted without
those of the ring.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

CHAIN = 512
"""Bits of the longest chain: Yosys walks along chains by recursion, and its stack is small."""

TOP = "ring"
UNIT = "unit"
"""Instance name of the design inside the ring."""

_LINE = re.compile(r"(input|output) \[(\d+):0\] (\S+)")


@dataclass(frozen=True)
class Wires:
    """One port of the design."""

    name: str
    bits: int
    given: bool
    """Whether it is an input."""


def read_ports(text: str) -> list[Wires]:
    """The ports in what Yosys's ``portlist`` printed."""
    return [Wires(name, int(high) + 1, way == "input") for way, high, name in _LINE.findall(text)]


def ring(design: str, ports: Sequence[Wires]) -> str:
    """Verilog of the module :data:`TOP` around the module ``design``, whose clock is ``clk``."""
    data = [port for port in ports if port.name != "clk"]
    ins, outs = ([port for port in data if port.given is way] for way in (True, False))
    given, made = (sum(port.bits for port in side) for side in (ins, outs))
    entries, exits = (range(0, bits, CHAIN) for bits in (given, made))
    names = "{" + ", ".join(f"{port.name}_in" for port in ins) + "}"
    shown = "{" + ", ".join(f"{port.name}_wire" for port in outs) + "}"
    wired = [".clk(clk)", *(f".{p.name}({p.name}_in)" for p in ins), *(f".{p.name}({p.name}_wire)" for p in outs)]
    return "\n".join(
        [
            f"module {TOP}(clk, enters, loads, leaves);",
            "  input clk, loads;",
            f"  input [{len(entries) - 1}:0] enters;",
            f"  output [{len(exits) - 1}:0] leaves;",
            *(f"  reg [{port.bits - 1}:0] {port.name}_in;" for port in ins),
            *(f"  wire [{port.bits - 1}:0] {port.name}_wire;" for port in outs),
            f"  wire [{given - 1}:0] given = {names}, next;",
            *(
                f"  assign next[{_bits(at, given)}] = {{given[{_bits(at, given)}], enters[{k}]}};"
                for k, at in enumerate(entries)
            ),
            f"  reg [{made - 1}:0] shown_out, leaving;",
            "  reg load;",
            "  always @(posedge clk) begin",
            f"    {names} <= next;",
            "    load <= loads;",
            f"    shown_out <= {shown};",
            *(f"    {_chain(_bits(at, made))}" for at in exits),
            "  end",
            *(f"  assign leaves[{k}] = leaving[{min(at + CHAIN, made) - 1}];" for k, at in enumerate(exits)),
            f"  {design} {UNIT}({', '.join(wired)});",
            "endmodule",
            "",
        ]
    )


def port_of(net: str, ports: Sequence[Wires]) -> str:
    """The design's port that a net or cell of the ring belongs to; any other name as it is."""
    found = re.match(r"(given|next|shown_out)(?:\[(\d+)\])?", net)
    if found is None:
        return re.sub(r"^(\w+)_(?:in|wire)\b", r"\1", net)
    bit = int(found[2] or 0)
    for port in reversed([p for p in ports if p.name != "clk" and p.given is (found[1] != "shown_out")]):
        if bit < port.bits:
            return f"{port.name}[{bit}]"
        bit -= port.bits
    return net


def _bits(at: int, end: int) -> str:
    """The range of the chain from bit ``at``."""
    return f"{min(at + CHAIN, end) - 1}:{at}"


def _chain(bits: str) -> str:
    """One chain out: it takes what the output registers hold, or moves on."""
    return f"leaving[{bits}] <= load ? shown_out[{bits}] : {{leaving[{bits}], 1'b0}};"
