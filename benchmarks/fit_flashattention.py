"""Fit the five constants of the FlashAttention model, and say what they miss.

    python benchmarks/fit_flashattention.py            # print, compare with the table; 1 where it differs
    python benchmarks/fit_flashattention.py --write    # renew the fitted rows of sim/cost/gpu_attention.csv

Fitted on published speeds (``reports/published/flashattention.csv``): head dimension 128 without a
mask, forward, of versions 2 and 3 on an H100 (twelve cells), and the two headline figures of version 2
on an A100, forward and backward, which count like two cells each as nothing else tells the boards
apart. Held out: head dimension 64, causal masks, every backward pass on Hopper, an H20, FP8, and all of
version 1 and of standard attention; not two later measurements of cases that were fitted. No constant
has seen these; but which effects are counted at all was decided with them in view.

The A100 and the H100 share the overlap of version 2, so what the H100 lacks beyond it is the clock it
holds (a field of the design, which its matrix products obey too); the backward share is fitted on the
A100's version 2 alone and carried to the others. The H20 has the H100's multiprocessors with a quarter
of their tensor rate and is not held back by its power: its clock share is taken as 1.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from siloom.models._gpu_attention import AttentionCosts
from siloom.reports.experiments.flashattention import Constants, error_of, held_out, in_fit, simulated_rate
from siloom.reports.reproduce import Published, published

TABLE = Path(__file__).resolve().parents[1] / "sim" / "cost" / "gpu_attention.csv"
CONSTANTS = (
    ("flash2", "overlap"),
    ("flash3", "overlap"),
    ("backward", "overlap_share"),
    ("hopper", "sustained_clock_share"),
    ("tile", "start_s"),
)
_START = (1.0, 1.5, 0.6, 0.9, 1e-6)
_UPPER = (10.0, 10.0, 2.0, 1.0, 1e-4)
_A100_CELLS = 2
_SOURCES = {
    ("flash2", "overlap"): "H100 d 128 forward and A100 forward; 0 is one after the other",
    ("flash3", "overlap"): "H100 d 128 forward; 0 is one after the other",
    ("backward", "overlap_share"): "A100 backward of version 2",
    ("tile", "start_s"): "H100 d 128 forward, above all of short sequences",
    ("hopper", "sustained_clock_share"): "H100 d 128 forward of version 2 beside the A100; the boost clock is 1",
}
_FROM = "reports/published/flashattention.csv"


def constants_of(values: Sequence[float]) -> Constants:
    """The table's constants with the fitted ones replaced."""
    flash2, flash3, backward, clock, start_s = values
    costs = replace(
        AttentionCosts.of_table(),
        overlap={"flash1": flash2, "flash2": flash2, "flash3": flash3},
        backward=backward,
        tile_start_s=start_s,
    )
    return Constants(costs, clock)


def fit(points: Sequence[Published]) -> list[float]:
    """Least squares of ln(model / published), rounded to three digits."""
    weights = np.sqrt([_A100_CELLS if p.table == "a100" else 1 for p in points])  # residuals are squared

    def residuals(values: Any) -> Any:
        constants = constants_of(values)
        return weights * np.log([simulated_rate(p, constants) / p.value for p in points])

    found = least_squares(residuals, _START, bounds=([0.0] * len(_START), _UPPER), x_scale=_START)
    return [float(f"{v:.3g}") for v in found.x]


def errors(points: Iterable[Published], constants: Constants) -> float:
    """Mean of |model / published - 1|."""
    return float(np.mean([abs(error_of(p, constants)) for p in points]))


def table_text(old: str, values: Sequence[float], mean: float, outside: float) -> str:
    """The table with its fitted rows renewed."""
    numbers = dict(zip(CONSTANTS, (f"{v:.3g}" for v in values), strict=True))
    numbers["error", "mean"], numbers["error", "mean_held_out"] = f"{mean:.3f}", f"{outside:.3f}"
    sources = {key: f"{_FROM}: {what}" for key, what in _SOURCES.items()}
    sources["error", "mean"] = f"{_FROM}: the cells of the fit"
    sources["error", "mean_held_out"] = f"{_FROM}: all rates of versions 2 and 3 in cases that are not in the fit"
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for row in csv.reader(old.splitlines()):
        key = (row[0], row[1]) if len(row) == 6 else ("", "")
        if row[0].startswith("#"):
            out.write(",".join(row) + "\n")
        elif key in numbers:
            writer.writerow((*key, numbers[key], row[3], sources[key], "fitted"))
        else:
            writer.writerow(row)
    return out.getvalue()


def main() -> int:
    """Run the fit; exit code 1 where the table in the repository differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    rows = published("flashattention")
    inside, outside = [r for r in rows if in_fit(r)], [r for r in rows if held_out(r)]
    values = fit(inside)
    constants = constants_of(values)
    for key, value in zip(CONSTANTS, values, strict=True):
        print(f"{' '.join(key):32s} {value:.3g}")
    print(f"mean error of {len(inside)} fitted cells {errors(inside, constants):.1%}")
    print(f"mean error of {len(outside)} held out {errors(outside, constants):.1%}")
    text = table_text(TABLE.read_text(encoding="utf-8"), values, errors(inside, constants), errors(outside, constants))
    if args.write:
        TABLE.write_text(text, encoding="utf-8")
        return 0
    same = TABLE.read_text(encoding="utf-8") == text
    print("sim/cost/gpu_attention.csv holds these values" if same else "sim/cost/gpu_attention.csv DIFFERS")
    return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(main())
