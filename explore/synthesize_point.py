"""A finalist's hardware: what it takes of a part once placed and routed, and the clock that it reaches there."""

from __future__ import annotations

from collections.abc import Mapping

from siloom.explore.row import machine_text
from siloom.sim.design import Value
from siloom.sim.errors import InfeasibleError, MissingPartError

_SEED = 1
_NAMES = {"lut": "luts", "ff": "ffs", "dsp": "dsps", "bram": "brams"}


def synthesize_point(machine: str, settings: Mapping[str, Value], part: str) -> dict[str, float]:
    """LUTs, flip-flops, multipliers, memories and clock of a design's RTL on ``part``.

    Raises:
        UsageError: the machine has no RTL.
        InfeasibleError: the design does not fit the part, or no RTL is made of such a design.
        MissingPartError: a tool is not installed or dies.
    """
    from siloom.rtl.api import synth

    row = synth([machine_text(machine, settings)], targets=(part,), seed=_SEED, folder=None, jobs=1)[0]
    if row["fault"]:
        raise MissingPartError(str(row["fault"]))
    if row["short"]:
        raise InfeasibleError(f"does not fit {part}: {row['short']}")
    metrics = {ours: float(row[theirs]) for theirs, ours in _NAMES.items()}
    if row["clock_hz"] is not None:
        metrics["clock_hz"] = float(row["clock_hz"])
    return metrics
