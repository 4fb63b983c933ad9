"""Dense products on an A100 (measured for LLMCompass, Zhang et al., ISCA 2024) beside the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean

from siloom.models.registry import machine
from siloom.reports.reproduce import Table, published
from siloom.sim.cost import table
from siloom.sim.machine import run_workload
from siloom.workloads.registry import load


def tables(matrices: Path | None, watch: Callable[[str], None]) -> Iterator[Table]:
    """One table; no matrices are used."""
    rows, errors = [], []
    for point in published("gpu_gemm"):
        watch(f"{point.table} on {point.case}")
        result = run_workload(machine(point.table), load(point.case))
        ours = result.seconds * 1e3
        errors.append(ours / point.value - 1)
        lost = max((cause for cause in result.stalls if cause != "compute"), key=lambda c: result.stalls[c])
        rows.append(
            {
                "workload": point.case,
                "measured_ms": point.value,
                "simulated_ms": ours,
                "error": f"{errors[-1]:+.1%}",
                "share_of_peak": f"{result.utilization or 0.0:.1%}",
                "most_lost_to": f"{lost} {result.stalls[lost] / (result.cycles or 1):.0%}",
            }
        )
    mean = fmean(abs(error) for error in errors)
    fit = {name: entry.value for (owner, name), entry in table("gpu_gemm_fit").items() if owner == "cublas"}
    yield Table(
        "Dense fp16 products on an A100",
        rows,
        (
            f"mean error {mean:.1%}; fitted on these rows: call {fit['call_s'] * 1e6:.1f} us, "
            f"efficiency {fit['math_efficiency']:.3g}, {fit['operand_bytes_per_clock']:.0f} operand bytes a clock.",
            f"held out: leave one out {fit['error_mean_leave_one_out']:.1%} mean, {fit['error_max_leave_one_out']:.1%} "
            f"at most; leave two out {fit['error_mean_leave_two_out']:.1%} mean (benchmarks/fit_gpu_gemm.py).",
            "the efficiency lies at its bound of 1: tiles, waves and operand loading explain the rate without it.",
        ),
    )
