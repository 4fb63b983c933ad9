"""What a machine gains that runs a part of a workload, over the machine that runs the rest doing it all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from siloom.sim.machine import TRANSFER, Machine, run_workload
from siloom.sim.ops import Workload
from siloom.sim.result import Result


def with_speedup(result: Result, rest: Machine, workload: Workload) -> Result:
    """``result``, made with ``rest``, with its ``over_rest``; as it is where ``rest`` cannot run all alone."""
    if result.unsupported or not all(rest.supports(item.op) for item in workload.items):
        return result
    alone = run_workload(rest, workload)
    rows = _rows(result)
    there = [row for row in rows if row["kind"] != TRANSFER]
    # A machine that takes a workload as one has no rows of its operations.
    if len(_rows(alone)) != len(there):
        return result
    own = [(row, before) for row, before in zip(there, _rows(alone), strict=True) if row["machine"] != rest.label]
    spent = math.fsum(row["seconds"] for row, _ in own)
    supported = math.fsum(before["seconds"] for _, before in own)
    transfers = math.fsum(row["seconds"] for row in rows if row["kind"] == TRANSFER)
    return replace(
        result,
        over_rest={
            "baseline": rest.label,
            "supported": _ratio(supported, spent),
            "with_transfers": _ratio(supported, spent + transfers),
            "whole": _ratio(alone.seconds, result.seconds),
        },
    )


def _rows(result: Result) -> Sequence[Mapping[str, Any]]:
    """A result's rows; of one operation, which has none, the result is the row."""
    return result.rows or ({"kind": "", "machine": result.machine, "seconds": result.seconds},)


def _ratio(before: float, after: float) -> float | None:
    return before / after if before > 0 and after > 0 else None
