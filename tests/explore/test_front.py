"""Are fronts and their hypervolumes what their definitions say, counted point by point and cell by cell?"""

import itertools
import math

import pytest

from siloom.exploring import run

ARRAY = {"machine": "systolic", "fields": {"rows": [1, 2, 4, 8, 16, 32], "cols": [1, 2, 4, 8, 16, 32]}}
WORK = ["gemm:m=64,n=64,k=64", {"load": "gemm:m=17,n=200,k=30", "weight": 2.5}]
SPACES = [
    {**ARRAY, "workloads": WORK, "objectives": ["time", "area"], "search": {"method": "random", "seeds": 2}},
    {**ARRAY, "workloads": WORK, "objectives": ["time", "energy", "utilization"], "budget": {"points": 20}},
    {"machine": "elsa", "workloads": ["attention:seq=64"], "objectives": ["time", "recall"],
     "fields": {"p": "default", "copies": [1, 2, 4]}},
    {**ARRAY, "workloads": WORK, "objectives": ["time"], "constraints": ["rows * cols <= 100"]},
]  # fmt: skip


def no_worse(one, other):
    return all(a <= b for a, b in zip(one, other, strict=True))


def undominated(points):
    return [p for p in points if not any(no_worse(q, p) and q != p for q in points)]


def volume(points, reference):
    """The cells between all coordinates that some point dominates, added up."""
    axes = [sorted({*(p[k] for p in points), edge}) for k, edge in enumerate(reference)]
    total = 0.0
    for cell in itertools.product(*(range(len(axis) - 1) for axis in axes)):
        low = [axis[i] for axis, i in zip(axes, cell, strict=True)]
        if any(no_worse(p, low) for p in points):
            total += math.prod(axis[i + 1] - axis[i] for axis, i in zip(axes, cell, strict=True))
    return total


@pytest.mark.parametrize("number", range(len(SPACES)))
def test_fronts_and_hypervolumes_are_as_counted_by_hand(number):
    found = run(SPACES[number], workers=0)
    signs = [-1 if one.more_is_better else 1 for one in found.space.objectives]
    values = {
        index: tuple(sign * row.metrics[one.name] for sign, one in zip(signs, found.space.objectives, strict=True))
        for index, row in found.explored.rows.items()
        if row.status == "ok"
    }
    best = undominated(list(values.values()))
    keys = {found.explored.rows[index].key for index, value in values.items() if value in best}
    assert {row.key for row in found.front} == keys
    # By their logarithm where all are positive; from the front's best, 0, to its worst, 1; up to 1.1 of that.
    columns = list(zip(*best, strict=True))
    logarithmic = [min(column) > 0 for column in columns]

    def scaled(value):
        out = []
        for number, (v, column) in enumerate(zip(value, columns, strict=True)):
            seen = math.log if logarithmic[number] else float
            low, high = seen(min(column)), seen(max(column))
            out.append((seen(v) - low) / (high - low if high > low else 1.0))
        return tuple(out)

    reference = [1.1] * len(signs)
    whole = volume([scaled(value) for value in best], reference)
    checked = 0
    for one in found.explored.runs:
        for step in [s for s in found.history if (s.search, s.seed) == (one.name, one.seed)][::5]:
            seen = [scaled(values[index]) for index in one.asked[: step.evaluations] if index in values]
            inside = undominated([p for p in seen if all(a < b for a, b in zip(p, reference, strict=True))])
            assert step.hypervolume == pytest.approx(volume(inside, reference) / whole if inside else 0.0, abs=1e-9)
            checked += 1
    assert checked >= 2
