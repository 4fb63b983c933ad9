"""Kernels on an A100 that nothing was fitted on (measured for LLMCompass, Zhang et al., ISCA 2024) beside the model.

Products of another sweep than the fitted one, softmax, and two functions that went through PyTorch's compiler: their
calls cost some 40 us on the host, which the model does not charge, so what a doubling of the work adds is told too.
Last the products and softmax of a Transformer's layer, of the sizes that they have there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from siloom.models.registry import machine
from siloom.reports.reproduce import Published, Table, published
from siloom.sim.machine import run_workload
from siloom.sim.result import Result
from siloom.workloads.registry import load

_LEAST_ADDED = 0.2
"""A doubling that adds less than this share of the time says more of the call than of the kernel."""

_COMPILED = ("layernorm", "gelu")
_TITLES = {
    "gemm": "Dense fp16 products on an A100, none of them fitted",
    "softmax": "Softmax on an A100",
    "layernorm": "Layer normalisation on an A100, compiled",
    "gelu": "GELU on an A100, compiled",
}
_NOTES = {
    "gemm": ("the sweep over m; the model was fitted on one over n = k (reproduce gpu-gemm).",),
    "softmax": (
        "the cost of a call is that of the first row; nothing else is fitted.",
        "long rows are bound by the instructions of two exponentials and a division an element, not by memory.",
    ),
    "layernorm": (
        "a compiled function's call takes some 50 us on the host, which hides short kernels: not charged.",
        "from 16384 elements on a row comes from memory three times: the rows at work exceed the L2 cache.",
    ),
    "gelu": ("a compiled function's call takes some 48 us on the host, which hides short kernels: not charged.",),
}
_LAYER = {
    "prefill": (
        "A quarter of a layer of GPT-3 on an A100: 8 x 2048 tokens",
        "Q K' takes as long as if nothing hid the writing of its results, which the model hides behind the products.",
    ),
    "decode": (
        "A quarter of a layer of GPT-3 on an A100: one token more of 3072",
        "products of few rows, which stream their weights or keys.",
    ),
}


def simulated(row: Published) -> Result:
    """The model's run of a published row."""
    return run_workload(machine(row.table), load(row.case))


def of_kind(kind: str) -> list[Published]:
    """The published rows of a kernel's sweep, as ``softmax``, in the order of their table."""
    return [row for row in published("gpu_kernels") if kind in row.case and row.quantity == "time"]


def of_layer(phase: str) -> list[Published]:
    """The kernels of a layer that were measured, in ``prefill`` or ``decode``."""
    return [row for row in published("gpu_kernels") if row.quantity == phase]


def tables(matrices: Path | None, watch: Callable[[str], None]) -> Iterator[Table]:
    """A table for each kernel's sweep, and one for each phase of a layer; no matrices are used."""
    for kind, title in _TITLES.items():
        watch(title)
        rows = of_kind(kind)
        found = [simulated(row) for row in rows]
        errors = [result.seconds * 1e6 / row.value - 1 for row, result in zip(rows, found, strict=True)]
        notes = [f"mean error {fmean(map(abs, errors)):.1%}, largest {max(map(abs, errors)):.1%}."]
        added: list[tuple[float, float] | None] = []
        if kind in _COMPILED:
            added = doublings(rows, found)
            shares = [abs(ours / theirs - 1) for ours, theirs in filter(None, added)]
            notes.append(f"what a doubling adds: mean error {fmean(shares):.1%}, largest {max(shares):.1%}.")
        lines = list(map(_line, rows, found, errors))
        for line, told in zip(lines, added, strict=bool(added)):
            line["added_measured_us"], line["added_simulated_us"] = (told[1], told[0]) if told else (None, None)
        yield Table(title, lines, (*notes, *_NOTES[kind]))
    for phase, (title, note) in _LAYER.items():
        watch(title)
        rows = of_layer(phase)
        found = [simulated(row) for row in rows]
        errors = [result.seconds * 1e6 / row.value - 1 for row, result in zip(rows, found, strict=True)]
        said = f"mean error {fmean(map(abs, errors)):.1%}, largest {max(map(abs, errors)):.1%}."
        yield Table(title, list(map(_line, rows, found, errors)), (said, note))


def doublings(rows: Sequence[Published], found: Sequence[Result]) -> list[tuple[float, float] | None]:
    """Microseconds, simulated and measured, beyond the row before, where that has half the work and it shows."""
    out: list[tuple[float, float] | None] = [None]
    for place in range(1, len(rows)):
        work, before = (found[i].operations["adds"] for i in (place, place - 1))
        measured = rows[place].value - rows[place - 1].value
        ours = (found[place].seconds - found[place - 1].seconds) * 1e6
        tells = work == 2 * before and measured > _LEAST_ADDED * rows[place].value
        out.append((ours, measured) if tells else None)
    return out


def _line(row: Published, result: Result, error: float) -> dict[str, Any]:
    return {
        "workload": row.case,
        "measured_us": row.value,
        "simulated_us": result.seconds * 1e6,
        "error": f"{error:+.1%}",
        "most_spent_on": max(result.stalls, key=lambda cause: result.stalls[cause]),
    }
