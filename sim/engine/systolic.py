"""Systolic arrays: GEMMs fold by fold on one array, any dataflow, with SRAMs and one memory port.

The parts, each in a file of its own:

- ``systolic_folds``: what a fold costs, and whole GEMMs in closed form where memory costs nothing;
- ``systolic_jobs``: (design, GEMM) pairs as plain arrays;
- ``systolic_tiling``: blocks that fit the SRAMs, and the order of the loops over them;
- ``systolic_walk``: the schedule of the blocks with double buffers and the memory port;
- ``systolic_cells``: every register of a small array, which proves the first;
- ``systolic_reference``: the same schedule in plain Python, fold by fold, which proves the fourth.

:func:`run_gemms` is the way in. It is exact and vectorised: a million pairs take some seconds.
"""

from __future__ import annotations

import numpy as np

from siloom.sim.engine import systolic_walk as walk
from siloom.sim.engine.systolic_folds import (
    DATAFLOWS,
    IS,
    OS,
    WS,
    Counts,
    across,
    array_cycles,
    scalesim_cycles,
)
from siloom.sim.engine.systolic_jobs import FIELDS, Ints, Jobs, jobs
from siloom.sim.engine.systolic_tiling import axis_at, cost_at
from siloom.sim.errors import InfeasibleError, InputError

__all__ = [
    "DATAFLOWS",
    "IS",
    "OS",
    "OUTCOME",
    "STALLS",
    "WS",
    "Counts",
    "Jobs",
    "across",
    "array_cycles",
    "axis_at",
    "cost_at",
    "jobs",
    "run_gemms",
    "scalesim_cycles",
]

OUTCOME = walk.OUTCOME
STALLS = OUTCOME[walk.COMPUTE : walk.DRAM_BANDWIDTH + 1]
"""The causes that add up to the cycles."""


def run_gemms(work: Jobs, *, skip: bool = True) -> dict[str, Ints]:
    """Run every job of ``work``; one int64 array of (jobs,) for each name of ``OUTCOME``.

    ``cycles`` and its causes (``STALLS``); bytes over the memory port ``a_read``, ``b_read``, ``sum_read``,
    ``sum_write``, ``c_write``; ``stationary_loads``, operands shifted into the cells (ws, is; for os, cells
    used over all folds); the blocks ``mb``, ``nb``, ``kb`` and the code of their order; ``steps`` walked.

    Args:
        work: what :func:`jobs` made.
        skip: add equal rounds of a loop at once. False walks every block; the outcome is the same.

    Raises:
        InfeasibleError: an SRAM whose half does not hold the operands or sums of one fold.
        InputError: a run whose cycles or bytes may reach 2^62.
    """
    out = np.zeros((len(work.table), len(OUTCOME)), np.int64)
    walk.walk_all(work.table, work.port, work.write_costs, skip, out)
    found = {name: out[:, column] for column, name in enumerate(OUTCOME)}
    if (found["cycles"] < 0).any():
        at = int(np.flatnonzero(found["cycles"] < 0)[0])
        if found["cycles"][at] == -2:
            raise InfeasibleError(_too_small(work, at))
        raise InputError("systolic: the run may take 2^62 cycles or bytes, it must stay below")
    return found


def _too_small(work: Jobs, at: int) -> str:
    """Which SRAM does not hold one fold."""
    row = dict(zip(FIELDS, work.table[at].tolist(), strict=True))
    rows, cols = row["rows"], row["cols"]
    m, n, k = {OS: (rows, cols, 1), WS: (1, cols, rows), IS: (cols, 1, rows)}[row["dataflow"]]
    m, n, k = min(m, row["m"]), min(n, row["n"]), min(k, row["k"])
    wants = {
        "ifmap_sram_bytes": (m * k, row["a_room"], row["a_bits"]),
        "filter_sram_bytes": (k * n, row["b_room"], row["b_bits"]),
        "ofmap_sram_bytes": (m * n, row["o_room"], row["sum_bits"]),
    }
    for name, (need, room, bits) in wants.items():
        if need > room:
            return (
                f"systolic: {name} must be at least {-(-2 * need * bits // 8)} B to hold one fold twice over, "
                f"its half holds {room} of {need} operands"
            )
    return "systolic: the SRAMs must hold one fold twice over"
