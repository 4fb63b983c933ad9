"""A finalist's hardware: what it takes of a part once placed and routed, and the clock that it reaches there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from siloom.explore.row import machine_text
from siloom.sim.design import Value
from siloom.sim.errors import InfeasibleError, SiloomError, UsageError, did_you_mean
from siloom.sim.settings import parse_named

_SEED = 1
_NAMES = {"lut": "luts", "ff": "ffs", "dsp": "dsps", "bram": "brams"}


class ToolDiedError(SiloomError):
    """A tool that is installed died on one design (exit 70)."""


def require_hardware(machines: Sequence[str], part: str) -> None:
    """Refuse finalists that nobody can build, before any point is run.

    Raises:
        UsageError: a machine without RTL, or an unknown part.
        MissingPartError: a tool is not installed.
    """
    from siloom.rtl.registry import machine_names
    from siloom.rtl.synth import TARGETS, require_tools

    if part not in TARGETS:
        raise UsageError(f"[finalists]: no part '{part}'{did_you_mean(part, TARGETS)}")
    known = machine_names()
    for text in machines:
        if (name := parse_named(text).name) not in known:
            raise UsageError(f"[finalists]: {name} has no hardware; machines that have: {', '.join(known)}")
    require_tools(TARGETS[part])


def synthesize_point(machine: str, settings: Mapping[str, Value], part: str) -> dict[str, float]:
    """LUTs, flip-flops, multipliers, memories and clock of a design's RTL on ``part``.

    Raises:
        UsageError: the machine has no RTL.
        InfeasibleError: the design does not fit the part, or no RTL is made of such a design.
        MissingPartError: a tool is not installed.
        ToolDiedError: a tool dies on this design.
    """
    from siloom.rtl.api import synth

    row = synth([machine_text(machine, settings)], targets=(part,), seed=_SEED, folder=None, jobs=1)[0]
    if row["fault"]:
        raise ToolDiedError(str(row["fault"]))
    if row["short"]:
        raise InfeasibleError(f"does not fit {part}: {row['short']}")
    metrics = {ours: float(row[theirs]) for theirs, ours in _NAMES.items()}
    if row["clock_hz"] is not None:
        metrics["clock_hz"] = float(row["clock_hz"])
    return metrics
