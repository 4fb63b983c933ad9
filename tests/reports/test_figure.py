"""The figure for papers: its formats, its data beside it, and its bytes."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest

from siloom.reports.figure import write_figure
from siloom.sim.errors import InputError, UsageError
from siloom.sim.result import Result

MAGIC = {"pdf": b"%PDF-", "svg": b"<?xml", "png": b"\x89PNG"}


@pytest.mark.parametrize("suffix", MAGIC)
def test_the_suffix_chooses_the_format_and_equal_inputs_give_equal_bytes(tmp_path, comparison, speedups, suffix):
    one = write_figure(comparison, tmp_path / f"one.{suffix}", speedups)
    two = write_figure(comparison, tmp_path / f"two.{suffix}", speedups)
    assert one.read_bytes().startswith(MAGIC[suffix])
    assert one.read_bytes() == two.read_bytes()


def test_the_data_stand_beside_it(tmp_path, comparison, speedups):
    write_figure(comparison, tmp_path / "f.svg", speedups)
    with (tmp_path / "f.csv").open(newline="") as file:
        rows = {row["machine"]: row for row in csv.DictReader(file)}
    assert float(rows["outerspace"]["seconds"]) == comparison[0].seconds
    assert float(rows["outerspace"]["speedup over k40-cusp"]) == speedups["outerspace"]["k40-cusp"]
    assert rows["host"]["kind"] == "measured"
    assert rows["host"]["energy_j"] == ""


@pytest.mark.parametrize("name", ["f.jpg", "f", "f.csv", "f.svg.txt"])
def test_another_suffix_is_a_wrong_use(tmp_path, comparison, name):
    with pytest.raises(UsageError, match=r"must end in \.pdf, \.svg or \.png"):
        write_figure(comparison, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_no_results_no_figure(tmp_path):
    with pytest.raises(UsageError, match="at least one result"):
        write_figure([], tmp_path / "f.svg")


def test_an_absent_folder_is_told(tmp_path, outerspace):
    with pytest.raises(InputError, match="cannot be written"):
        write_figure([outerspace], tmp_path / "absent" / "f.svg")


@pytest.mark.parametrize("name", ["$\\frac{", "=1+1", "織物", "a\x00\ud800\nb", "</svg><script>", "x" * 5000])
@pytest.mark.parametrize("suffix", MAGIC)
def test_hostile_names_are_drawn_as_they_are(tmp_path, outerspace, name, suffix):
    result = replace(outerspace, machine=name, workload=name)
    path = write_figure([result], tmp_path / f"f.{suffix}", {name: {name: 2.0}})
    if suffix == "svg":
        assert b"<script" not in path.read_bytes()
    assert (tmp_path / "f.csv").read_text().splitlines()[1][0] != "="


def test_zero_time_and_no_ratio_are_no_obstacle(tmp_path):
    results = [Result(machine="a", workload="w", seconds=0.0), Result(machine="b", workload="w", seconds=1.0)]
    assert write_figure(results[:1], tmp_path / "f.png").stat().st_size > 1000
    assert write_figure(results, tmp_path / "g.png", {"b": {"a": 0.0}}).stat().st_size > 1000


def test_a_hundred_results_fit(tmp_path, variant):
    many = [variant(f"outerspace:l0_bytes={i}", scale=1 + i % 7) for i in range(100)]
    assert write_figure(many, tmp_path / "f.png").stat().st_size > 10_000
