"""Does every example run? At a small scale, from its own file."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from siloom.explore.load import space_of_file
from siloom.exploring import run
from siloom.sim.errors import InputError

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.toml"))


def small(path, points):
    """The space of an example, of which a few points are asked, each trained for a few steps."""
    space = space_of_file(path)
    training = None if space.training is None else space.training.model_copy(update={"steps": 4})
    budget = space.budget.model_copy(update={"points": points})
    search = space.search.model_copy(update={"baseline": "none"})
    return replace(space, budget=budget, training=training, search=search)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_at_a_small_scale(path):
    space = small(path, 2 if "width" in path.stem else 8)
    if space.training is not None and importlib.util.find_spec("torch") is None:
        pytest.skip("needs the extra train")
    try:
        found = run(space, workers=0)
    except InputError as error:
        if "minilm" in str(error):
            pytest.skip("needs the extra minilm")
        raise
    counts = found.to_dict()["counts"]
    assert counts["failed"] == counts["crashed"] == 0
    assert len(found.rows) == space.budget.points
    assert counts["ok"] + counts["infeasible"] == len(found.rows)


def test_there_are_the_examples_that_the_readme_promises():
    assert {path.stem for path in EXAMPLES} >= {
        "outerspace-web", "elsa-or-sanger", "accumulator-width", "fpga-zcu104", "my-machine",
    }  # fmt: skip
