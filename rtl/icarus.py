"""Verilog under Icarus, driven by cocotb: a second simulator by another hand, where it is installed."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from siloom.rtl.buses import BENCH, bench_module, buses_of
from siloom.rtl.cache import kept
from siloom.rtl.cocotb_run import TOP, cocotb_folder, run_plans
from siloom.rtl.exchange import Plan, Seen
from siloom.rtl.tools import require, run
from siloom.rtl.verilog import verilog
from siloom.sim.errors import MissingPartError

INSTALL_ICARUS = "apt-get install iverilog"
_OPTIONS = ("-g2005", "-s", BENCH)
_WAVE = "dump.fst"
_DUMP = f"""\
module siloom_dump;
  initial begin
    $dumpfile("{_WAVE}");
    $dumpvars(0, {BENCH});
  end
endmodule
"""


def simulate(component: Any, plans: Sequence[Plan], waves: Path | None = None) -> list[Seen]:
    """Run plans on a component, each from reset; with ``waves``, an FST file of all signals is written.

    Raises:
        MissingPartError: a part that is not installed, or a tool that dies.
    """
    require("cocotb", "find_libpython")
    iverilog, vvp = (_found(tool) for tool in ("iverilog", "vvp"))
    buses = buses_of(component)
    text = f"`timescale 1ns/1ps\n{verilog(component, TOP)}{bench_module(buses, TOP)}"
    roots = list(_OPTIONS)
    if waves is not None:
        text, roots = text + _DUMP, [*roots, "-s", "siloom_dump"]
    release = run([iverilog, "-V"], folder=Path("/"), install=INSTALL_ICARUS).partition("\n")[0]

    def make(folder: Path) -> None:
        (folder / "top.v").write_text(text, encoding="utf-8")
        run([iverilog, *roots, "-o", "top.vvp", "top.v"], folder=folder, install=INSTALL_ICARUS)

    program = kept("icarus", [release, *roots, text], make) / "top.vvp"
    argv = [vvp, "-m", str(cocotb_folder() / "libs" / "libcocotbvpi_icarus.so"), str(program)]
    if waves is not None:
        argv.append("-fst")
    wave = None if waves is None else (_WAVE, waves)
    return run_plans(argv, plans, buses=buses, install=INSTALL_ICARUS, wave=wave)


def is_installed() -> bool:
    """Whether Icarus is there."""
    return shutil.which("iverilog") is not None


def _found(tool: str) -> str:
    path = shutil.which(tool)
    if path is None:
        raise MissingPartError(f"Icarus Verilog ('{tool}') was not found; install it with: {INSTALL_ICARUS}")
    return path
