"""What attention may leave out and still learn: recipe mqar under each method's masks, over its knob and seeds.

Usage: python benchmarks/training_retention.py run|table|figure [--seeds N] [--methods M...] [--runs FILE.csv]
       [--out FILE.pdf]

``run`` trains what ``training_retention.csv`` lacks, 400 steps each, single-threaded. A row is one run: the accuracy on
1,000 held-out examples, the share of the allowed scores that the mask kept there, and the seconds and energy of the
attention, forward, of the step behind the last on the method's own machine, set alike. Projections, gradients and the
optimizer no such machine runs: they are in neither number. ELSA's machine learns its thresholds and DOTA's its detector
anew on the recorded operands.

ELSA's curve is not monotone, with any of three seeds: p = 2 learns little, p = 4 and 8 as well as exact attention.
While attention is near uniform no key has four times its even share, so nothing is left out and the threshold only
rises as attention sharpens; some have twice theirs, and at p = 2 (seed 0) a twentieth of the scores is left at step
100.

``table`` prints means and their 95 % intervals, ``figure`` draws them. Every run is real; who ends ``run`` keeps what
there is, and may go on.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from siloom import api
from siloom.reports.files import csv_text, write_whole
from siloom.reports.training_figure import write_training_figure
from siloom.show import show_rows
from siloom.train import interval
from siloom.workloads.torch.meter import metered
from siloom.workloads.torch.plan import Plan
from siloom.workloads.torch.recorded import recorded
from siloom.workloads.torch.training import Training, reproducible, train

RECIPE, STEPS = "mqar:validations=1", 400
RUNS = Path(__file__).with_suffix(".csv")
EXACT = "exact"


class Knob(NamedTuple):
    """The field by which a method leaves scores out, its name on the machine, and values from mild to harsh.

    Middle ones come first, so that a sweep that is ended has the middle of the curve.
    """

    field: str
    of_machine: str
    values: tuple[float, ...]


KNOBS = {
    "elsa": Knob("p", "p", (2, 8, 0.5, 4, 1)),
    "sanger": Knob("threshold", "threshold", (0.05, 0.3, 0.01, 0.15, 0.002)),
    "dota": Knob("keep", "retention", (0.125, 0.03, 0.5, 0.0625, 0.25)),
    "a3": Knob("iterations_share", "iterations_share", (0.5, 0.125, 2, 0.25, 1)),
}
Row = dict[str, Any]
COLUMNS = ("method", "knob", "value", "seed", "steps", "accuracy", "density", "seconds", "energy_j")


def main() -> None:
    """Train what is missing, or show what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("run", "table", "figure"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", choices=(EXACT, *KNOBS), default=(EXACT, *KNOBS))
    parser.add_argument("--runs", type=Path, default=RUNS)
    parser.add_argument("--out", type=Path, default=Path("training_retention.pdf"))
    given = parser.parse_args()
    rows = read(given.runs)
    if given.task == "run":
        for row in missing(rows, given.methods, given.seeds):
            rows.append(row)
            print(row, flush=True)
            write_whole(given.runs, csv_text(COLUMNS, ([row[c] for c in COLUMNS] for row in rows)).encode())
    elif given.task == "table":
        show_rows(f"{RECIPE} behind {STEPS} steps", list(means(rows)))
    else:
        documents = [document(row) for row in means(rows)]
        print(write_training_figure(documents, given.out, of="attention, forward"))


def read(path: Path) -> list[Row]:
    """The runs that there are."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    kinds = dict.fromkeys(COLUMNS, float) | {"method": str, "knob": str, "seed": int, "steps": int}
    return [{name: kinds[name](cell) if cell else None for name, cell in row.items()} for row in rows]


def missing(rows: list[Row], methods: list[str], seeds: int) -> Iterator[Row]:
    """Runs that are not among ``rows``, seed after seed: the first value of every method, then the second."""
    done = {(row["method"], row["value"], row["seed"]) for row in rows}
    widest = max(len(knob.values) for knob in KNOBS.values())
    for seed, at, method in product(range(seeds), range(widest), methods):
        values: tuple[float | None, ...] = KNOBS[method].values if method != EXACT else (None,)
        if at < len(values) and (method, values[at], seed) not in done:
            yield run(method, values[at], seed)


def run(method: str, value: float | None, seed: int) -> Row:
    """Train once."""
    knob = KNOBS.get(method)
    text = method if knob is None else f"{method}:{knob.field}={value:g}"
    training = train(Plan.of(RECIPE, attention=text, seed=seed, steps=STEPS))
    accuracy, density = judged(training)
    row = {"method": method, "knob": knob and knob.field, "value": value, "seed": seed, "steps": STEPS}
    row |= {"accuracy": accuracy, "density": density, "seconds": None, "energy_j": None}
    if knob is not None:
        found = api.run(f"{method}:{knob.of_machine}={value:g}", recorded(training))
        row |= {"seconds": found.seconds, "energy_j": found.energy_j}
    return row


def judged(training: Training) -> tuple[float, float]:
    """Share of right answers on the held-out examples, and of the allowed scores that were kept for them."""
    with metered() as meter, reproducible(training.plan.threads):
        _, accuracy = training.judge()
    counts = list(meter.kept.values())
    allowed = sum(count.allowed for count in counts)
    assert accuracy is not None
    return accuracy, sum(count.kept for count in counts) / allowed if allowed else 1.0


def means(rows: list[Row]) -> Iterator[Row]:
    """Each method's values, the mildest first: means over seeds, and the interval of the accuracy."""
    settings = dict.fromkeys((row["method"], row["knob"], row["value"]) for row in rows)
    for method, knob, value in sorted(settings, key=lambda found: (found[0], found[2] or 0.0)):
        same = [row for row in rows if (row["method"], row["value"]) == (method, value)]
        accuracies = [row["accuracy"] for row in same]
        low, high = interval(accuracies) or (None, None)
        told: Row = {"method": method, "knob": knob, "value": value, "seeds": len(same)}
        for column in ("accuracy", "density", "seconds", "energy_j"):
            known = [row[column] for row in same if row[column] is not None]
            told[column] = sum(known) / len(known) if known else None
        # Student's t knows no ends, but shares have some.
        yield told | {"low": low and max(0.0, low), "high": high and min(1.0, high)}


def document(row: Row) -> dict[str, Any]:
    """A row of means as the figure takes trained variants."""
    machine = {"machine": row["method"], "seconds": row["seconds"], "energy_j": row["energy_j"]}
    return {
        "recipe": RECIPE,
        "arithmetic": "fp32",
        "attention_method": row["method"],
        "accuracy": row["accuracy"],
        "accuracy_interval": None if row["low"] is None else (row["low"], row["high"]),
        "attention": [{"kept": row["density"], "allowed": 1.0}],
        "machines": [machine | {"coverage": {"flops": None}}],
    }


if __name__ == "__main__":
    main()
