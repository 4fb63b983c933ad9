"""How fast searches come to the true front of a space that was run whole.

    python benchmarks/search.py benchmarks/spaces/elsa-attention.toml --run STORE     # every point, minutes to hours
    python benchmarks/search.py benchmarks/spaces/elsa-attention.toml --store STORE   # the searches, on what was run
    python benchmarks/search.py benchmarks/spaces/elsa-attention.toml                 # the figure of what is committed

The second writes the true front and each search's hypervolume over five seeds beside the spaces; the third draws them.
Hypervolume is that of ``explore/front.py``: of the objectives' logarithms, from 1.1 times the front's own range. A
search is near the front at 95 % of it; a point counts as an evaluation when a search first asks for it, valid or not.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from siloom.explore.front import Scale, Step, front_of, steps_of_run
from siloom.explore.load import space_of_file
from siloom.explore.outcome import SearchRun
from siloom.explore.row import Row
from siloom.explore.search import Told, searches
from siloom.explore.space import Space
from siloom.explore.store import Store
from siloom.explore.violation import violation
from siloom.exploring import run
from siloom.reports.exploration_figure import reached, write_hypervolume_figure
from siloom.reports.files import csv_text

SEEDS = 5
POINTS = 1500
BATCH = 32
FOLDER = Path(__file__).parent / "spaces"


def table(space: Space, store: Path) -> dict[int, Row]:
    """Point -> row, of a space that was run whole.

    Raises:
        SystemExit: a point has no row.
    """
    places = {}
    for number, alternative in enumerate(space.alternatives):
        for inner in range(alternative.size):
            settings = alternative.settings(inner)
            places[(alternative.text, *settings.items())] = space.index(number, alternative.levels(inner))
    with Store.open(store, read_only=True) as kept:
        rows = {places[(row.machine, *row.settings.items())]: row for row in kept.rows()}
    if len(rows) < space.size:
        sys.exit(f"{store}: has {len(rows):,} of {space.size:,} points; --run goes on")
    return rows


def told(space: Space, rows: Mapping[int, Row]) -> dict[int, Told]:
    """What a search is told of each point."""
    return {
        index: Told(index, space.values_of(row.metrics), 0.0 if row.status == "ok" else violation(space, row))
        for index, row in rows.items()
    }


def one(space: Space, known: Mapping[int, Told], name: str, seed: int) -> SearchRun:
    """Run a search on the table."""
    search = searches()[name](space, seed=seed, batch=BATCH, points=POINTS)
    asked: dict[int, None] = {}
    while len(asked) < search.points and (batch := search.ask()):
        asked.update(dict.fromkeys(batch))
        search.tell([known[index] for index in sorted(batch)])
    return SearchRun(name, seed, tuple(asked)[:POINTS])


def measure(space: Space, store: Path) -> None:
    """Run every search over the seeds and write what they reached."""
    rows = table(space, store)
    known = told(space, rows)
    front = front_of(space, rows)
    valid = {index: row for index, row in rows.items() if row.status == "ok"}
    values = {index: found for index, row in valid.items() if (found := space.values_of(row.metrics)) is not None}
    scale = Scale.of(np.array([values[index] for index in front]))
    whole = scale.hypervolume(np.array([values[index] for index in front]))
    names = [name for name in searches() if name != "grid"]
    steps = [
        step
        for name in names
        for seed in range(SEEDS)
        for step in steps_of_run(one(space, known, name, seed), values, scale, whole)
    ]
    fields = list(rows[front[0]].settings)
    metrics = [metric.name for metric in space.objectives]
    (FOLDER / f"{space.name}-front.csv").write_text(
        csv_text(
            [*fields, *metrics],
            [[*rows[i].settings.values(), *(rows[i].metrics[name] for name in metrics)] for i in front],
        )
    )
    (FOLDER / f"{space.name}-history.csv").write_text(
        csv_text(
            ["search", "seed", "evaluations", "hypervolume"],
            [[s.search, s.seed, s.evaluations, round(s.hypervolume, 6)] for s in steps],
        )
    )
    print(f"{space.name}: {len(rows):,} points, {len(valid):,} valid, {len(front)} on the front")


def committed(name: str) -> list[Step]:
    """The history that was written last."""
    with (FOLDER / f"{name}-history.csv").open(newline="") as file:
        return [
            Step(row["search"], int(row["seed"]), int(row["evaluations"]), float(row["hypervolume"]))
            for row in csv.DictReader(file)
        ]


def show(name: str) -> None:
    """Print and draw what is committed."""
    steps = committed(name)
    names = dict.fromkeys(step.search for step in steps)
    counts = {search: reached([step for step in steps if step.search == search]) for search in names}
    random = counts["random"]
    for search, count in counts.items():
        ratio = f", {random / count:.2f} times as fast as random" if random and count else ""
        print(f"{name}: {search} at 95 % after {count if count else f'more than {POINTS}'}{ratio}")
    print(write_hypervolume_figure(steps, FOLDER / f"{name}.svg", f"{name}: five seeds, median and range"))
    (FOLDER / f"{name}.csv").unlink()  # the history beside it has the same


def main() -> None:
    """Run, measure or show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("space", type=Path)
    parser.add_argument("--run", type=Path, metavar="STORE")
    parser.add_argument("--store", type=Path)
    given = parser.parse_args()
    space = space_of_file(given.space)
    if given.run:
        every = space.search.model_copy(update={"method": "grid"})
        budget = space.budget.model_copy(update={"points": space.size})
        run(replace(space, search=every, budget=budget), store=given.run)
        given.store = given.run
    if given.store:
        measure(space, given.store)
    show(space.name)


if __name__ == "__main__":
    main()
