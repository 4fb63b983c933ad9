"""RTLIL with a wire for each driver, as simulators like it.

A stream's payload is one wire of many fields. In a register they are driven apart, and some of them may have
turned out to be constants or copies of others. CXXRTL asks of a whole wire whether it is a register: if it is
partly something else, it takes it for logic that must settle, and evaluates everything twice or more.

Works on one flat module without processes, as Yosys writes it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import pairwise

_WIRE = re.compile(r"^  wire (.*?)([\\$]\S+)$")
_WIDTH = re.compile(r"width (\d+)")
_PORT = re.compile(r"(input|output) \d+")
_DRIVES = re.compile(r"^    connect \\(?:Y|Q|DATA|RD_DATA) (.*)$")
_CELL = re.compile(r"^    connect (\\\S+) (.*)$")
_ALIAS = re.compile(r"^  connect (.*)$")
_INIT = re.compile(r"^  attribute \\init (?:\d+'([01x]+)|(\d+))$")
_PART = re.compile(r"([\\$]\S+)(?: \[(\d+)(?::(\d+))?\])?")


def split_wires(text: str) -> str:
    """The same design; every wire is cut into private ones, where one driver ends and another begins.

    Inputs stay as they are; outputs are made of their pieces.
    """
    lines = text.split("\n")
    widths, inputs, outputs = _wires(lines)
    cuts = _cuts(lines, widths)
    pieces: dict[str, list[tuple[int, int, str]]] = {}  # low, high, name; from the highest down
    for number, (name, width) in enumerate(widths.items()):
        if name not in inputs:
            edges = sorted({0, width, *cuts[name]})
            pieces[name] = [(low, high, f"$w{number}.{low}") for low, high in pairwise(edges)][::-1]

    def renamed(match: re.Match[str]) -> str:
        name, high, low = match.groups()
        if name not in pieces:
            return match[0]
        bottom, top = _range(widths[name], high, low)
        found = []
        for first, end, piece in pieces[name]:
            lower, upper = max(first, bottom), min(end, top)
            if lower < upper:
                whole = (lower, upper) == (first, end)
                found.append(piece if whole else f"{piece} [{upper - first - 1}:{lower - first}]")
        return " ".join(found)

    def signal(spec: str) -> str:
        return f"{{ {_PART.sub(renamed, spec.strip('{} '))} }}"

    out: list[str] = []
    init = ""  # of the next wire
    for line in lines:
        if begins := _INIT.match(line):
            init = begins[1] or f"{int(begins[2]):032b}"
        if (wire := _WIRE.match(line)) and wire[2] in pieces:
            while out[-1].startswith("  attribute"):
                out.pop()
            if wire[2] in outputs:
                out += [line, f"  connect {wire[2]} {signal(wire[2])}"]
            for low, high, name in pieces[wire[2]]:
                if init:
                    out.append(f"  attribute \\init {high - low}'{init[len(init) - high : len(init) - low]}")
                out.append(f"  wire width {high - low} {name}")
            init = ""
        elif cell := _CELL.match(line):
            out.append(f"    connect {cell[1]} {signal(cell[2])}")
        elif alias := _ALIAS.match(line):
            to, of = _sides(alias[1])
            # Cells were given what a copy is a copy of; what is left of it is a name.
            if any(name in outputs for name, _, _ in _PART.findall(to)):
                out.append(f"  connect {signal(to)} {signal(of)}")
        else:
            out.append(line)
    # A wire must be there before it is spoken of.
    late = [line for line in out if line.startswith("  connect")]
    early = [line for line in out if not line.startswith("  connect")]
    end = len(early) - 1 - early[::-1].index("end")
    return "\n".join([*early[:end], *late, *early[end:]])


def _wires(lines: list[str]) -> tuple[dict[str, int], set[str], set[str]]:
    """Width of every wire, and which are inputs and outputs."""
    widths: dict[str, int] = {}
    ports: dict[str, set[str]] = {"input": set(), "output": set()}
    for line in lines:
        if wire := _WIRE.match(line):
            width, port = _WIDTH.search(wire[1]), _PORT.search(wire[1])
            widths[wire[2]] = int(width[1]) if width else 1
            if port:
                ports[port[1]].add(wire[2])
    return widths, ports["input"], ports["output"]


def _cuts(lines: list[str], widths: dict[str, int]) -> dict[str, set[int]]:
    """Where in a wire a driver begins or ends."""
    cuts: dict[str, set[int]] = defaultdict(set)
    for line in lines:
        driven = _DRIVES.match(line)
        alias = None if driven else _ALIAS.match(line)
        spec = driven[1] if driven else _sides(alias[1])[0] if alias else ""
        for name, high, low in _PART.findall(spec):
            if name in widths:
                cuts[name] |= set(_range(widths[name], high, low))
    return cuts


def _sides(text: str) -> list[str]:
    """Both signals of an alias."""
    return re.findall(r"\{[^}]*\}|[\\$]\S+(?: \[[\d:]+\])?|\d+'\S+", text)


def _range(width: int, high: str | None, low: str | None) -> tuple[int, int]:
    """First bit and the one behind the last of ``[high:low]``, ``[high]`` or the whole."""
    if not high:
        return 0, width
    top = int(high)
    return int(low) if low else top, top + 1
