"""How narrow an accumulator may be in training: recipe digits over widths, learning rates, passes and seeds.

Usage: python benchmarks/training_widths.py whole|float [--seeds N] [--rates R...] [--widths W...] [--out FILE.csv]

``whole`` trains with 8-bit whole numbers in saturating accumulators of so many bits; ``float`` with 8-bit floats in
accumulators of 8 bits of exponent and so many of mantissa. Each is narrow in both passes, or in one, the other one
being fp32. Plain gradient descent at a constant rate, 25 epochs, as the recipe has it; one of 360 held-out images is
0.28 points of accuracy. Beside the widths of ``float`` stands what ``sim/variance_retention.py`` predicts for the
longest sum of the narrow passes. Every run is real, and single-threaded.

``training_widths_whole.csv`` and ``training_widths_float.csv`` are what it printed here: whole numbers of 14, 16, 17
and 18 bits at all three rates, narrow in both passes and in one; floats at rate 0.1, narrow in both. In 14 bits one
product of two large codes leaves the range by itself. At the rates 0.03 and 0.01 fp32 has not learned all either.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from siloom.reports.files import csv_text, write_whole
from siloom.show import show_rows
from siloom.sim.errors import SiloomError
from siloom.sim.variance_retention import enough
from siloom.train import interval
from siloom.workloads.torch.plan import Plan
from siloom.workloads.torch.training import Training, train

EXACT = "fp32"
FAMILIES = {"whole": ("int8:acc={}", (14, 15, 16, 17, 18, 20, 24)), "float": ("fp8:acc=e8m{}", (3, 4, 5, 6, 7, 13))}
"""Text of an arithmetic by its width, and widths to try."""
Row = dict[str, str | float | None]
LONGEST = 128
"""Products of the longest sum: 128 inputs, or 128 outputs in the gradient of a layer's inputs; a batch has 32."""
PASSES = {"both": (True, True), "forward": (True, False), "backward": (False, True)}


def main() -> None:
    """Train all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family", choices=FAMILIES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.1, 0.03, 0.01])
    parser.add_argument("--widths", type=int, nargs="+")
    parser.add_argument("--passes", nargs="+", choices=PASSES, default=list(PASSES))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    widths = given.widths or FAMILIES[given.family][1]
    rows: list[Row] = []
    for row in table(given.family, widths, given.rates, given.passes, given.seeds):
        rows.append(row)
        print(row, flush=True)
        if given.out is not None:  # anew behind every row: who ends a long grid keeps what there is
            columns = list(rows[0])
            write_whole(given.out, csv_text(columns, ([row[c] for c in columns] for row in rows)).encode())
    show_rows("digits by the accumulator's width", rows)


def table(family: str, widths: list[int], rates: list[float], passes: list[str], seeds: int) -> Iterator[Row]:
    """One row for each width, rate and choice of narrow passes, and one of fp32 for each rate."""
    for rate in rates:
        yield {"width": EXACT, "narrow": None, "rate": rate, **outcome(EXACT, EXACT, rate, seeds), "predicted": None}
        for width in widths:
            narrow = FAMILIES[family][0].format(width)
            for name in passes:
                forward, backward = (narrow if is_narrow else EXACT for is_narrow in PASSES[name])
                told = {"width": width, "narrow": name, "rate": rate, **outcome(forward, backward, rate, seeds)}
                predicted = None if family == "whole" else ("enough" if enough(width, LONGEST) else "too narrow")
                yield {**told, "predicted": predicted}


def outcome(forward: str, backward: str, rate: float, seeds: int) -> Row:
    """Accuracies in percent, their mean and its interval, and the shares of results beyond the range."""
    runs = []
    for seed in range(seeds):
        try:
            plan = Plan.of(
                "digits",
                arithmetic=forward,
                backward=backward,
                optimizer_text=f"sgd:lr={rate}",
                schedule_text="constant",
                seed=seed,
            )
            runs.append(train(plan))
        except SiloomError as error:
            return {"accuracy": None, "low": None, "high": None, "of seeds": str(error), **saturated([])}
    right = [100 * (run.history.curve[-1].accuracy or 0.0) for run in runs]
    low, high = interval(right) or (None, None)
    # Student's t knows no ends, but shares have some.
    low, high = low and max(0.0, low), high and min(100.0, high)
    each = " ".join(f"{value:.1f}" for value in right)
    return {"accuracy": sum(right) / len(right), "low": low, "high": high, "of seeds": each, **saturated(runs)}


def saturated(runs: list[Training]) -> dict[str, float | None]:
    """Per cent of results that left the accumulator's range, by pass, over all runs."""
    out: dict[str, float | None] = {}
    for name, directions in (("forward", ("forward",)), ("backward", ("grad_input", "grad_weight"))):
        counts = [c for run in runs for (_, way), c in run.history.counts.items() if way in directions]
        sums = sum(c.sums for c in counts)
        out[f"saturated {name} %"] = 100 * sum(c.saturated for c in counts) / sums if sums else None
    return out


if __name__ == "__main__":
    main()
