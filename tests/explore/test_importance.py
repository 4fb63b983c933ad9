"""The importance of fields, on functions whose shares of variance are known."""

from dataclasses import replace

import pytest

from siloom.explore.importance import importance
from siloom.explore.row import Row


def rows_of(y):
    """Every point of a 4 x 5 x 2 grid ten times, with what ``y`` makes of it as its time."""
    out = []
    for n in range(400):
        a, b, c = n % 4, n // 4 % 5, n // 20 % 2
        out.append(
            Row(
                key=n.to_bytes(16, "big"), machine="m", settings={"a": a, "b": b, "c": c}, workload="w",
                fidelity="cycles", status="ok", metrics={"seconds": y(a, b, c)},
            )
        )  # fmt: skip
    return out


def test_importance_is_the_share_of_variance_between_values():
    def made(y):
        return importance(rows_of(y), "seconds")

    # y = -(a + 10 b): negative, so that no logarithm is taken; variances 1.25 and 200.
    shares = made(lambda a, b, c: -(a + 10.0 * b))
    assert shares["b"] == pytest.approx(200 / 201.25, abs=1e-3)
    assert shares["a"] == pytest.approx(1.25 / 201.25, abs=1e-2)
    assert shares["c"] == pytest.approx(0, abs=1e-2)
    assert made(lambda a, b, c: 2.0**b)["b"] == pytest.approx(1)
    assert made(lambda a, b, c: -1.0) == {"a": 0, "b": 0, "c": 0}


def test_which_machine_it_is_counts_as_a_field():
    other = [replace(row, machine="n", metrics={"seconds": 3.0}) for row in rows_of(lambda a, b, c: 1.0)]
    assert importance([*rows_of(lambda a, b, c: 1.0), *other], "seconds")["machine"] == pytest.approx(1)


def test_too_few_points_for_a_value_say_nothing():
    few = [replace(row, settings={"a": n}) for n, row in enumerate(rows_of(lambda a, b, c: a + 1.0))]
    assert importance(few, "seconds") == {}
