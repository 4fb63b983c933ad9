"""Figures of explorations: their data, their bytes, and the count that their legend says."""

from dataclasses import replace

import pytest

from siloom.explore.front import Step
from siloom.reports.exploration_figure import quantity, reached, write_front_figure, write_hypervolume_figure
from siloom.sim.errors import UsageError


def test_figures_come_with_their_data(rows, steps, tmp_path):
    for suffix in ("png", "svg", "pdf"):
        out = write_front_figure(rows, tmp_path / f"front.{suffix}", ["time", "area"])
        again = out.read_bytes()
        assert write_front_figure(rows, out, ["time", "area"]).read_bytes() == again
    lines = (tmp_path / "front.csv").read_text().splitlines()
    assert lines[0] == "key,design,fidelity,status,front,seconds,area_mm2"
    assert len(lines) == 60
    write_hypervolume_figure(steps, tmp_path / "hv.png")
    assert len((tmp_path / "hv.csv").read_text().splitlines()) == len(steps) + 1
    with pytest.raises(UsageError, match="two objectives"):
        write_front_figure(rows, tmp_path / "front.png", ["time"])


def test_the_evaluations_to_95_percent_are_the_median_seeds():
    steps = [Step("s", seed, n, 1.0 if n >= 10 * (seed + 1) else 0.5) for seed in range(3) for n in range(0, 50, 5)]
    assert reached(steps) == 20
    assert reached([replace(step, hypervolume=0.9) for step in steps]) is None


def test_quantities_have_prefixes_and_no_empty_zeros():
    assert [quantity(2e-3, "s"), quantity(1234.5, "mm2"), quantity(0.5, "")] == ["2 ms", "1,234 mm²", "0.5"]
