"""Are steps dealt out in order, over exactly the stages there are, with the longest stage as short as can be?"""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest

pytest.importorskip("amaranth", reason="the optional part 'rtl' is not installed")

from siloom.rtl.elastic import carry
from siloom.rtl.spread import Step, spread


def noting_steps(depths):
    """Steps that each add their own number to a list that is passed along, and their depths."""

    def step(number):
        return lambda m, given, moves: {"done": [*given["done"], number]}

    return [Step(step(number), depth) for number, depth in enumerate(depths)]


def work_of(stages, monkeypatch):
    """The numbers of the steps that each stage does."""
    monkeypatch.setattr("siloom.rtl.spread._wire", lambda m, value, name: value)
    return [stage(None, {"done": []}, None)["done"] for stage in stages]


@pytest.mark.parametrize("depths", [[3], [3, 1], [1, 3, 1], [1, 1, 1, 1, 1, 1, 1, 2], [3, 1, 1, 1, 3, 1, 1]])
@pytest.mark.parametrize("count", range(1, 9))
def test_every_step_is_done_once_in_order_and_the_deepest_stage_is_as_shallow_as_any_cut_allows(
    depths, count, monkeypatch
):
    stages = spread(noting_steps(depths), count)
    work = work_of(stages, monkeypatch)
    assert len(stages) == count
    assert [number for done in work for number in done] == list(range(len(depths)))
    cuts = [(0, *inner, len(depths)) for inner in combinations(range(1, len(depths)), min(count, len(depths)) - 1)]
    best = min(max(sum(depths[a:b]) for a, b in pairwise(cut)) for cut in cuts)
    assert max(sum(depths[number] for number in done) for done in work) == best


def test_stages_left_over_follow_the_deepest_step(monkeypatch):
    stages = spread(noting_steps([1, 3, 1]), 5)
    assert work_of(stages, monkeypatch) == [[0], [1], [], [], [2]]
    assert stages[2:4] == [carry, carry]
