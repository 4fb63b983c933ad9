"""Fits the GPU model of dense products and prints its errors; the same data give the same constants.

    python benchmarks/fit_gpu_gemm.py            fit, print errors and residuals, compare with the table
    python benchmarks/fit_gpu_gemm.py --write    write sim/cost/gpu_gemm_fit.csv

Data: ten fp16 products measured on an A100 (``reports/published/gpu_gemm.csv``: m = 8192, n = k).
Three constants: the fixed cost of a call, the share of peak that the multiply-adds reach (at most 1),
and the bytes of operands that a multiprocessor takes in a clock without hiding them. For a given
choice of tile and split, a time is linear in the first and in products of the other two's inverses;
so non-negative least squares on relative errors alternates with the model's own choice. Starts that
end elsewhere compete by their error. What the data cannot tell is not fitted: memory's bandwidth is
the board's own row, for none of the ten waits for it beyond the cost of a call.

Held out: leave one out, leave two out, and the three largest predicted by the rest.
"""

from __future__ import annotations

import argparse
import csv
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from siloom.models._gpu_board import DenseBoard
from siloom.models._gpu_gemm import GemmCosts, GemmProblem, estimate_gemm, estimate_setting
from siloom.models.gpu import A100Design
from siloom.reports.reproduce import published
from siloom.sim.settings import parse_named

Reals = NDArray[np.float64]
TABLE = Path(__file__).resolve().parent.parent / "sim" / "cost" / "gpu_gemm_fit.csv"
STARTS = ((2e-5, 0.9, 200.0), (3e-5, 1.0, 300.0), (3e-5, 0.95, 1000.0), (1e-5, 0.8, 100.0))
_SOURCE = "ten fp16 products (m = 8192, n = k = 64 to 32768) measured on an A100 by the authors of LLMCompass"
_NO_LIMIT = 1e30
"""So many operand bytes a clock that loading takes no time."""


@dataclass(frozen=True)
class Point:
    """One measured product."""

    problem: GemmProblem
    seconds: float


def read_points() -> list[Point]:
    """The published times."""
    points = []
    for row in published("gpu_gemm"):
        size = {name: int(str(value)) for name, value in parse_named(row.case).settings.items()}
        problem = GemmProblem(size["m"], size["n"], size["k"], 1, "fp16", "fp16")
        points.append(Point(problem, row.value * 1e-3))
    return points


def a100() -> DenseBoard:
    """The board that was measured."""
    return A100Design().dense_board("a100")


def relative_errors(board: DenseBoard, costs: GemmCosts, points: Sequence[Point]) -> Reals:
    """Model / measured - 1."""
    return np.array([estimate_gemm(board, costs, p.problem).seconds / p.seconds - 1 for p in points])


def fit(board: DenseBoard, points: Sequence[Point]) -> GemmCosts:
    """The best constants that any start leads to."""
    found = [_descend(board, points, GemmCosts(*start, unaligned_share=1.0)) for start in STARTS]
    return min(found, key=lambda costs: float(np.square(relative_errors(board, costs, points)).sum()))


def _descend(board: DenseBoard, points: Sequence[Point], costs: GemmCosts) -> GemmCosts:
    """Alternate between the model's choice of settings and the constants, while the error falls."""
    best, least = costs, np.inf
    for _ in range(20):
        error = float(np.square(relative_errors(board, costs, points)).sum())
        if error >= least:
            break
        best, least = costs, error
        costs = _solve(board, points, costs)
    return best


def _solve(board: DenseBoard, points: Sequence[Point], costs: GemmCosts) -> GemmCosts:
    """Constants for the settings that ``costs`` choose.

    seconds = call + (1 + x) math + y loading + the rest, with 1 + x the inverse efficiency and
    y = (1 + x) / (bytes a clock); where a product waits for memory, math and loading are hidden.
    """
    rows, targets = [], []
    for point in points:
        chosen = estimate_gemm(board, costs, point.problem)
        free = replace(costs, call_s=0.0, math_efficiency=1.0, operand_bytes_per_clock=_NO_LIMIT)
        math = estimate_setting(board, free, point.problem, chosen.tile, chosen.split_k)
        loaded = estimate_setting(
            board, replace(free, operand_bytes_per_clock=1.0), point.problem, chosen.tile, chosen.split_k
        )
        if chosen.parts["memory"] > 0:
            whole = estimate_setting(board, free, point.problem, chosen.tile, chosen.split_k).seconds
            rows.append((1.0, 0.0, 0.0))
            targets.append(point.seconds - whole)
        else:
            busy = math.seconds - math.parts["split_k"] - math.parts["memory"]
            loading = loaded.seconds - loaded.parts["split_k"] - busy
            rows.append((1.0, busy, loading))
            targets.append(point.seconds - busy - math.parts["split_k"])
    measured = np.array([p.seconds for p in points])
    design = np.array(rows) / measured[:, None]
    scale = np.abs(design).max(axis=0)
    scale[scale == 0] = 1.0
    solved = nnls(design / scale, np.array(targets) / measured)[0] / scale
    call, slack, inverse = (float(v) for v in solved)
    per_clock = (1 + slack) / inverse if inverse > 0 else _NO_LIMIT
    return replace(costs, call_s=call, math_efficiency=1 / (1 + slack), operand_bytes_per_clock=per_clock)


def held_out(board: DenseBoard, points: Sequence[Point], leave: int) -> Reals:
    """Errors of all points left out, ``leave`` at a time, by fits of the others."""
    errors = []
    for out in itertools.combinations(range(len(points)), leave):
        costs = fit(board, [p for i, p in enumerate(points) if i not in out])
        errors.extend(relative_errors(board, costs, [points[i] for i in out]))
    return np.array(errors)


def report() -> dict[str, float]:
    """Fit, print, and return what the table holds."""
    board, points = a100(), read_points()
    exact = fit(board, points)
    # Four significant digits: beyond the fit's meaning, and the same on every processor.
    costs = GemmCosts(*(float(f"{v:.4g}") for v in vars(exact).values()))
    inside = relative_errors(board, costs, points)
    one, two = held_out(board, points, 1), held_out(board, points, 2)
    print("m x n x k, tile, split, measured us, modelled us, error")
    for point, error in zip(points, inside, strict=True):
        p, chosen = point.problem, estimate_gemm(board, costs, point.problem)
        size, tile = f"{p.m} x {p.n} x {p.k}", f"{chosen.tile[0]} x {chosen.tile[1]}"
        measured, modelled = point.seconds * 1e6, chosen.seconds * 1e6
        print(f"{size:22s} {tile:9s} {chosen.split_k} {measured:10.1f} {modelled:10.1f} {error:+7.1%}")
    largest = np.abs(relative_errors(board, fit(board, points[:-3]), points[-3:]))
    print(f"three largest, by a fit of the seven others: mean error {largest.mean():.3f}")
    out = {
        "call_s": costs.call_s,
        "math_efficiency": costs.math_efficiency,
        "operand_bytes_per_clock": costs.operand_bytes_per_clock,
        "error_mean": float(np.abs(inside).mean()),
        "error_max": float(np.abs(inside).max()),
        "error_mean_leave_one_out": float(np.abs(one).mean()),
        "error_max_leave_one_out": float(np.abs(one).max()),
        "error_mean_leave_two_out": float(np.abs(two).mean()),
    }
    for name, value in out.items():
        print(f"  {name:26s} {value:.4g}")
    return out


def table_text(values: dict[str, float]) -> str:
    """``sim/cost/gpu_gemm_fit.csv``."""
    units = {"call_s": "s", "operand_bytes_per_clock": "B/cycle"}
    out = io.StringIO()
    out.write("# Made by benchmarks/fit_gpu_gemm.py --write; errors are of |model / measured - 1|.\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("owner", "name", "value", "unit", "source", "status"))
    for name, value in values.items():
        text = f"{value:.3f}" if name.startswith("error") else f"{value:.4g}"
        writer.writerow(("cublas", name, text, units.get(name, ""), _SOURCE, "fitted"))
    return out.getvalue()


def main() -> int:
    """Run the fit; exit code 1 where the table in the repository differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    text = table_text(report())
    if args.write:
        TABLE.write_text(text, encoding="utf-8")
        return 0
    same = TABLE.read_text(encoding="utf-8") == text
    print(f"sim/cost/{TABLE.name} " + ("holds these values" if same else "DIFFERS from these values"))
    return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(main())
