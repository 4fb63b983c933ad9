"""Running plans in a simulator that cocotb drives: its environment, the files in, the files out."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from siloom.rtl.buses import BENCH, Buses
from siloom.rtl.exchange import Plan, Seen
from siloom.rtl.plan_file import load_seen, save_plans
from siloom.rtl.tools import INSTALL, run, telling_line, workspace
from siloom.sim.errors import MissingPartError

TOP = "top"
"""The component's Verilog module, inside the one that cocotb drives."""

SLOWEST_CYCLES_PER_S = 500
"""A run is given this pace, and a minute, before it is taken for hung."""


def run_plans(
    argv: Sequence[str],
    plans: Sequence[Plan],
    *,
    buses: Buses | None = None,
    install: str = INSTALL,
    wave: tuple[str, Path] | None,
) -> list[Seen]:
    """Run a simulator in a folder that holds ``plans.bin`` and read the ``seen.bin`` that it leaves there.

    Args:
        argv: the simulator.
        plans: what is run.
        buses: those of the module that cocotb's bench drives; None: the simulator reads the files itself.
        install: the line that installs what may be missing.
        wave: the name under which the simulator writes its waveform, and where it is to go; None: none is written.

    Raises:
        MissingPartError: the simulator died, hung or left no result.
    """
    with workspace() as folder:
        save_plans(folder / "plans.bin", plans)
        patience_s = 60 + sum(plan.limit for plan in plans) / SLOWEST_CYCLES_PER_S
        if buses is not None:
            (folder / "buses.json").write_text(json.dumps(asdict(buses)), encoding="utf-8")
        env = None if buses is None else _environment(folder)
        log = run(argv, folder=folder, env=env, timeout_s=patience_s, install=install)
        seen = folder / "seen.bin"
        if not seen.is_file():
            raise MissingPartError(f"the simulator wrote no result: {telling_line(log)}; reinstall it with: {install}")
        if wave is not None:
            written, place = folder / wave[0], wave[1]
            place.write_bytes(written.read_bytes())
        return load_seen(seen)


def cocotb_folder() -> Path:
    """Where cocotb is installed."""
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
        "COCOTB_TOPLEVEL": BENCH,
        "COCOTB_TEST_MODULES": "siloom.rtl.bench",
        "COCOTB_LOG_LEVEL": "WARNING",
        "COCOTB_TRUST_INERTIAL_WRITES": "1",  # no register looks when the bench writes
        "TOPLEVEL_LANG": "verilog",
        "SILOOM_BENCH": str(folder),
    }
