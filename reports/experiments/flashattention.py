"""FlashAttention 1 to 3 (Dao et al. 2022, Dao 2023, Shah et al. 2024): bytes of HBM, and speeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

from siloom.models._gpu_attention import AttentionCosts, AttentionEstimate, run_attention
from siloom.models._gpu_board import DenseBoard
from siloom.models.gpu import A100Design, H100Design
from siloom.reports.reproduce import Published, Table, published
from siloom.sim.cost import table
from siloom.sim.ops import Attention
from siloom.workloads.registry import load

_VARIANTS: tuple[tuple[str, dict[str, Any], bool], ...] = (
    ("no mask, no dropout", {"mask": False, "dropout": False}, False),
    ("dropout", {"mask": False}, False),
    ("mask and dropout", {}, False),
    ("mask, dropout and layout copies", {}, True),
)
"""Other ways to run the published case than its own: what it lacks, and whether layouts are copied."""


def tables(matrices: Path | None, watch: Callable[[str], None]) -> Iterator[Table]:
    """All tables; no matrices are read."""
    rows = published("flashattention")
    watch("flashattention: bytes")
    yield _bytes([r for r in rows if r.table == "gpt2-medium"])
    watch("flashattention: speeds")
    cells = [r for r in rows if r.table == "h100"]
    yield _speeds("FlashAttention: forward on an H100, TFLOP/s", cells)
    yield _by_column([r for r in rows if r.unit == "TFLOP/s"])
    others = [r for r in rows if r.unit == "TFLOP/s" and r.table != "h100"]
    yield _speeds("FlashAttention: other boards, backward and headlines, TFLOP/s", others)
    yield _first_version(rows)


# --- one published number beside ours --------------------------------------------------------------


@cache
def board_of(name: str) -> DenseBoard:
    """The board that a table of ``published/flashattention.csv`` was measured on."""
    design = A100Design() if name in ("a100", "gpt2-medium") else H100Design()
    board = design.dense_board("a100" if isinstance(design, A100Design) else "h100")
    rows = {key: entry.value for key, entry in table("gpu_attention").items()}
    if name == "gpt2-medium":
        return replace(board, bandwidth_bytes_per_s=rows["a100-40gb", "bandwidth_bytes_per_s"])
    if name == "h20":
        sms, peak = int(rows["h20", "sms"]), rows["h20", "tensor_flops"]
        # Its other units are those of the H100, one for one; its board's power holds nothing back.
        other = {form: rate * sms / board.sms for form, rate in board.other_flops.items()}
        return replace(
            board,
            name="h20",
            sms=sms,
            tensor_flops={"fp16": peak, "bf16": peak},
            other_flops=other,
            bandwidth_bytes_per_s=rows["h20", "bandwidth_bytes_per_s"],
            sustained_clock_share=1.0,
        )
    return board


@dataclass(frozen=True)
class Constants:
    """What the fit moves: the attention model's, and the clock that an H100 holds over its boost clock."""

    costs: AttentionCosts
    h100_clock_share: float

    @classmethod
    def of_tables(cls) -> Constants:
        """Those that machines have."""
        return cls(AttentionCosts.of_table(), board_of("h100").sustained_clock_share)


def estimate(row: Published, constants: Constants | None = None) -> AttentionEstimate:
    """Our estimate of a published speed's case."""
    made, board = constants or Constants.of_tables(), board_of(row.table)
    if board.name == "h100":
        board = replace(board, sustained_clock_share=made.h100_clock_share)
    algorithm = row.quantity.split()[0]
    # ``attention_pytorch`` of the FlashAttention benchmarks makes rearranged copies.
    return run_attention(board, _operation(row.case), algorithm, layout_copies=True, costs=made.costs)


def simulated_rate(row: Published, constants: Constants | None = None) -> float:
    """TFLOP/s by the papers' count: 4 N^2 d a head forward, 2.5 times as many backward, half if causal."""
    op = _operation(row.case)
    flops = 2.0 * op.dense_multiplies * (0.5 if op.causal else 1.0)
    return flops / estimate(row, constants).seconds / 1e12


def error_of(row: Published, constants: Constants | None = None) -> float:
    """Simulated over published, less one."""
    return simulated_rate(row, constants) / row.value - 1.0


def in_fit(row: Published) -> bool:
    """Whether ``benchmarks/fit_flashattention.py`` fits this row."""
    if row.table != "h100" or row.quantity == "standard":
        return row.table == "a100"
    op = _operation(row.case)
    return op.dim == 128 and not op.causal


def held_out(row: Published) -> bool:
    """A speed of versions 2 or 3 whose case no constant was fitted on, this measurement of it or another."""
    return row.unit == "TFLOP/s" and row.quantity != "standard" and _measured(row) not in _fitted_cases()


def _measured(row: Published) -> tuple[str, str, str]:
    return board_of(row.table).name, row.case, row.quantity


@cache
def _fitted_cases() -> frozenset[tuple[str, str, str]]:
    return frozenset(_measured(row) for row in published("flashattention") if in_fit(row))


def _fitted(row: Published) -> str:
    """How a row stands to the fit, as tables say it."""
    return "yes" if in_fit(row) else "repeat" if _measured(row) in _fitted_cases() else "no"


@cache
def _operation(case: str) -> Attention:
    op = load(case).items[0].op
    assert isinstance(op, Attention)
    return op


# --- tables ----------------------------------------------------------------------------------------


def _bytes(rows: Sequence[Published]) -> Table:
    """Forward and backward of GPT-2 medium's attention: HBM, FLOPs and time."""
    (case,) = {r.case for r in rows}
    values = {r.quantity: r.value for r in rows}
    forward = _operation(case)
    passes = (forward, replace(forward, direction="bwd"))
    board = board_of("gpt2-medium")
    out: list[dict[str, Any]] = []

    def both(algorithm: str, copies: bool = False, **lacks: Any) -> list[AttentionEstimate]:
        return [run_attention(board, replace(op, **lacks), algorithm, layout_copies=copies) for op in passes]

    def line(what: str, unit: str, ours: float, known: float | None) -> None:
        error = "" if known is None else _percent(ours / known - 1)
        out.append({"quantity": what, "published": known, "simulated": ours, "unit": unit, "error": error})

    for name, lacks, copies in _VARIANTS:
        known = None if lacks or copies else values["standard bytes"]
        line(f"standard, {name}: HBM", "GB", sum(e.hbm_bytes for e in both("standard", copies, **lacks)) / 1e9, known)
    flash, standard = both("flash1"), both("standard")
    line("flash1: HBM", "GB", sum(e.hbm_bytes for e in flash) / 1e9, values["flash1 bytes"])
    ratio = sum(e.tensor_flops for e in flash) / sum(e.tensor_flops for e in standard)
    line("FLOPs, flash1 over standard", "x", ratio, values["flop ratio"])
    line("standard: time", "ms", sum(e.seconds for e in standard) * 1e3, values["standard time"])
    line("flash1: time", "ms", sum(e.seconds for e in flash) * 1e3, values["flash1 time"])
    return Table(
        "FlashAttention: GPT-2 medium on an A100, forward and backward",
        out,
        (
            "every tensor read or written by each kernel is counted, nothing is fitted; the published standard one is",
            "taken to have an additive mask and dropout (as the benchmark's code and GPT-2's training have).",
            "flash1's bytes are counted as its paper counts them, without a cache; no constant is fitted on the times.",
        ),
    )


def _speeds(title: str, rows: Sequence[Published]) -> Table:
    out = []
    for row in rows:
        ours = simulated_rate(row)
        out.append(
            {
                "board": board_of(row.table).name,
                "kernel": _column(row),
                "seq": _operation(row.case).seq,
                "published": row.value,
                "simulated": ours,
                "error": _percent(ours / row.value - 1),
                "fitted": _fitted(row),
            }
        )
    return Table(title, out)


def _by_column(rows: Sequence[Published]) -> Table:
    """Mean errors by table and column, by version on the H100, and of all that was held out."""
    columns: dict[tuple[str, str], list[Published]] = {}
    for row in rows:
        columns.setdefault((row.table, _column(row)), []).append(row)
    out = [_errors(*key, cells, _fitted(cells[0])) for key, cells in columns.items()]
    for version in ("flash2", "flash3"):
        cells = [r for r in rows if r.quantity == version and r.table == "h100"]
        out.append(_errors("h100", f"{version}, all columns", cells, "in part"))
    out.append(_errors("all", "flash2 and flash3, held out", [r for r in rows if held_out(r)], "no"))
    fitted = {key: entry for key, entry in table("gpu_attention").items() if entry.status == "fitted"}
    values = ", ".join(f"{owner} {name} {e.value:.3g}" for (owner, name), e in fitted.items() if owner != "error")
    return Table(
        "FlashAttention: mean error by column",
        out,
        (
            f"fitted (benchmarks/fit_flashattention.py): {values};",
            "repeat: another measurement of a fitted case, neither fitted nor held out;",
            "standard attention is not fitted; headlines do not name their head dimension, 256 is taken;",
            "largest: flash2 d128 causal, whose published 284 (2025) and 333 (2024) are of the same kernel.",
        ),
    )


def _errors(name: str, column: str, cells: Sequence[Published], fitted: str) -> dict[str, Any]:
    found = [abs(error_of(cell)) for cell in cells]
    return {
        "table": name,
        "kernel": column,
        "cells": len(cells),
        "mean_error": f"{fmean(found):.1%}",
        "largest": f"{max(found):.1%}",
        "fitted": fitted,
    }


def _first_version(rows: Sequence[Published]) -> Table:
    """Version 1 on an A100 against the range that the second paper gives for it."""
    limits = {(r.case, r.quantity): r.value for r in rows if r.table == "a100-range"}
    board = board_of("a100")
    out = []
    for dim, seq, direction in product((64, 128), (512, 1024, 2048, 4096), ("fwd", "bwd")):
        op = Attention(seq=seq, heads=2048 // dim, dim=dim, batch=16384 // seq, direction=direction)
        kind = "forward" if direction == "fwd" else "backward"
        least, most = limits[kind, "least"], limits[kind, "most"]
        share = (
            100.0 * 2.0 * op.dense_multiplies / run_attention(board, op, "flash1").seconds / board.tensor_flops["fp16"]
        )
        out.append(
            {
                "kernel": f"flash1 d{dim} {kind}",
                "seq": seq,
                "published": f"{least:.0f} to {most:.0f} %",
                "simulated": f"{share:.0f} %",
                "outside by": f"{max(least - share, share - most, 0.0):.0f}",
            }
        )
    return Table(
        "FlashAttention: version 1 on an A100, share of peak",
        out,
        (
            "no constant was fitted on version 1; the range is published for the whole of that paper's settings.",
            "it has a thread block a head: few long sequences leave multiprocessors idle.",
        ),
    )


def _column(row: Published) -> str:
    op = _operation(row.case)
    words = [row.quantity.split()[0], f"d{op.dim}"]
    words += ["causal"] if op.causal else []
    words += ["backward"] if op.direction == "bwd" else []
    words += [op.format] if op.format != "fp16" else []
    return " ".join(words)


def _percent(share: float) -> str:
    return f"{share:+.1%}"
