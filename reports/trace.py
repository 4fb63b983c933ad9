"""A run as a trace in the JSON format that Chrome and Perfetto read.

One microsecond of the trace is one cycle where the machine knows cycles (so nothing is rounded),
and one microsecond of the run where it does not; ``otherData`` says which. The run and its phases
are slices on one track; every tile and channel is a counter track, in fractions of 1.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from siloom.reports.files import write_whole
from siloom.reports.text import printable
from siloom.reports.timeline import groups
from siloom.sim.result import Result

MAX_COUNTER_VALUES = 1_000_000
"""Counter events in one trace; at about 110 bytes each the file stays well under 200 MB."""

_RUN = 1


def write_trace(result: Result, out: Path) -> Path:
    """Write ``result`` as a trace, gzipped where ``out`` ends in ``.gz``; returns ``out``.

    Raises:
        InputError: ``out`` cannot be written.
    """
    events = sorted(_events(result), key=lambda e: (e["ts"], -e.get("dur", 0)))
    lines = ",\n".join(json.dumps(e, separators=(",", ":")) for e in [*_names(result), *events])
    about = json.dumps(_about(result), sort_keys=True)
    content = f'{{"displayTimeUnit":"ns","otherData":{about},"traceEvents":[\n{lines}\n]}}\n'.encode()
    return write_whole(out, gzip.compress(content, 6, mtime=0) if out.name.endswith(".gz") else content)


def _in_cycles(result: Result) -> bool:
    return (
        result.cycles is not None and result.clock_hz is not None and all(p.cycles is not None for p in result.phases)
    )


def _about(result: Result) -> dict[str, Any]:
    return {
        "machine": printable(result.machine),
        "workload": printable(result.workload),
        "kind": result.kind,
        "time": "1 us of this trace is 1 cycle" if _in_cycles(result) else "1 us of this trace is 1 us of the run",
        "cycles": result.cycles,
        "clock_hz": result.clock_hz,
        "seconds": result.seconds,
        "counters": "fractions of 1, averaged over each bin",
    }


def _names(result: Result) -> Iterator[dict[str, Any]]:
    title = f"{printable(result.machine)} ({result.kind}) on {printable(result.workload)}"
    processes = [title, *(f"{printable(g.group)} activity" for g in groups(result, MAX_COUNTER_VALUES))]
    for pid, name in enumerate(processes, _RUN):
        yield {"ph": "M", "name": "process_name", "pid": pid, "args": {"name": name}}
        yield {"ph": "M", "name": "process_sort_index", "pid": pid, "args": {"sort_index": pid}}
    yield {"ph": "M", "name": "thread_name", "pid": _RUN, "tid": 1, "args": {"name": "phases"}}


def _events(result: Result) -> Iterator[dict[str, Any]]:
    """Slices and counters; times are whole cycles, or whole nanoseconds given in microseconds."""
    whole_cycles = _in_cycles(result)

    def ticks(seconds: float, cycles: int | None) -> int:
        return int(cycles or 0) if whole_cycles else round(seconds * 1e9)

    def us(at: int) -> float | int:
        return at if whole_cycles else at / 1000

    # phases follow one another; their ends are rounded as running sums so that they meet exactly
    ends = [0]
    seconds, cycles = 0.0, 0
    for phase in result.phases:
        seconds, cycles = seconds + phase.seconds, cycles + int(phase.cycles or 0)
        ends.append(ticks(seconds, cycles))
    end = max(ticks(result.seconds, result.cycles), ends[-1])
    yield {
        "ph": "X",
        "name": printable(result.workload),
        "cat": "run",
        "pid": _RUN,
        "tid": 1,
        "ts": 0,
        "dur": us(end),
        "args": {"seconds": result.seconds, "stalls": dict(result.stalls)},
    }
    for phase, begin, stop in zip(result.phases, ends, ends[1:], strict=False):
        yield {
            "ph": "X",
            "name": printable(phase.name),
            "cat": "phase",
            "pid": _RUN,
            "tid": 1,
            "ts": us(begin),
            "dur": us(stop - begin),
            "args": {"seconds": phase.seconds, "stalls": dict(phase.stalls)},
        }
    per_second = result.clock_hz if whole_cycles and result.clock_hz is not None else 1e9
    for pid, lanes in enumerate(groups(result, MAX_COUNTER_VALUES), _RUN + 1):
        starts = [min(round(i * lanes.bin_seconds * per_second), end) for i in range(lanes.bins)]
        for name, values in zip(lanes.names, lanes.values, strict=True):
            before = -1.0
            for start, value in [*zip(starts, values, strict=True), (end, 0.0)]:
                if value != before:  # a counter holds its value until the next event
                    yield {
                        "ph": "C",
                        "name": printable(name),
                        "pid": pid,
                        "ts": us(start),
                        "args": {"fraction": round(value, 6)},
                    }
                before = value
