"""Is the outcome a function of the space alone: of no executor, no chunk, no shard, no store?"""

from dataclasses import replace
from pathlib import Path

import pytest

import siloom
from siloom.explore.job import Job, Keys
from siloom.explore.load import space_of_file
from siloom.explore.merge import merge
from siloom.explore.store import Store
from siloom.exploring import run
from siloom.reports.exploration_table import csv_bytes
from siloom.sim.errors import UsageError


def exported(path):
    with Store.open(Path(path), read_only=True) as store:
        return csv_bytes(store.rows())


@pytest.fixture
def truth(small, tmp_path):
    """The export of the whole small space, made in this process."""
    run(small, store=tmp_path / "truth.db", workers=0)
    return exported(tmp_path / "truth.db")


def test_a_sweep_agrees_with_running_each_point(small, tmp_path):
    found = run(small, workers=0, store=tmp_path / "s.db")
    assert len(found.rows) == 75
    works = [(siloom.load("uniform:n=60,density=0.05,seed=0"), 1), (siloom.load("uniform:n=40,density=0.05,seed=1"), 2)]
    checked = 0
    for one in found.rows:
        if one.status != "ok":
            continue
        results = [(siloom.run(one.design, work), weight) for work, weight in works]
        assert one.metrics["seconds"] == pytest.approx(sum(r.seconds * w for r, w in results), rel=1e-12)
        assert one.metrics["energy_j"] == pytest.approx(sum(r.energy_j * w for r, w in results), rel=1e-12)
        assert one.metrics["area_mm2"] == results[0][0].area_mm2 < 60
        assert one.settings["tiles"] * one.settings["pes_per_tile"] <= 128
        checked += 1
    assert checked > 10
    broken = {one.reason for one in found.rows if one.status == "infeasible"}
    assert {"constraint: tiles * pes_per_tile <= 128", "design"} <= broken


def test_the_front_is_that_of_all_rows(small):
    found = run(small, workers=0, store=":memory:")
    points = {one.key: (one.metrics["seconds"], one.metrics["area_mm2"]) for one in found.rows if one.status == "ok"}
    expected = {
        key for key, p in points.items() if not any(q[0] <= p[0] and q[1] <= p[1] and q != p for q in points.values())
    }
    assert {one.key for one in found.front} == expected
    assert found.history[-1].hypervolume == pytest.approx(1.0)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(small, tmp_path, truth, workers):
    run(small, store=tmp_path / "w.db", workers=workers)
    assert exported(tmp_path / "w.db") == truth


def test_chunks_change_nothing(small, tmp_path, truth, monkeypatch):
    monkeypatch.setattr("siloom.explore.pool.CHUNK_S", 1e-9)
    run(small, store=tmp_path / "one.db", workers=2)
    monkeypatch.setattr("siloom.explore.pool.CHUNK_S", 1e9)
    run(small, store=tmp_path / "all.db", workers=1)
    assert exported(tmp_path / "one.db") == exported(tmp_path / "all.db") == truth


def test_shards_merged_are_the_whole(small, tmp_path, truth):
    parts = []
    for number in (1, 2, 3):
        parts.append(tmp_path / f"{number}.db")
        found = run(small, store=parts[-1], workers=0, shard=f"{number}/3")
        assert 0 < len(found.rows) < 75
    merge(tmp_path / "merged.db", parts)
    assert exported(tmp_path / "merged.db") == truth


def test_shards_hold_the_points_of_every_seed(small, tmp_path):
    small.write_text(small.read_text() + "[search]\nseeds = 3\n[budget]\npoints = 10\n")
    whole = run(small, store=tmp_path / "whole.db", workers=0)
    assert len({index for one in whole.explored.runs for index in one.asked}) > 10
    parts = [tmp_path / "1.db", tmp_path / "2.db"]
    for number, part in enumerate(parts, start=1):
        run(small, store=part, workers=0, shard=f"{number}/2")
    merge(tmp_path / "merged.db", parts)
    assert exported(tmp_path / "merged.db") == exported(tmp_path / "whole.db")


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "-1/3", "1/2/3"])
def test_a_shard_has_a_form(small, text):
    with pytest.raises(UsageError, match="i/N"):
        run(small, workers=0, shard=text)


def test_an_adaptive_search_has_no_shards(small, tmp_path):
    small.write_text(small.read_text() + '[search]\nmethod = "nsga2"\n')
    with pytest.raises(UsageError, match="learns from all points"):
        run(small, workers=0, shard="1/2", store=tmp_path / "s.db")


def test_the_package_may_be_called_and_takes_objects():
    import siloom.explore.row

    document = {"workloads": ["gemm:m=16,n=16,k=16"], "objectives": ["time"], "fields": {"rows": [4, 8]}}
    found = siloom.explore(document, machine=siloom.machine("systolic", cols=8), workers=1)
    assert [row.settings["rows"] for row in found.rows] == [4, 8]
    alone = siloom.run(siloom.machine("systolic", cols=8, rows=8), "gemm:m=16,n=16,k=16")
    assert found.rows[1].metrics["seconds"] == alone.seconds
    assert siloom.explore.row.Row is type(found.rows[0])


def test_a_store_knows_which_spaces_it_served(small, tmp_path):
    run(small, store=tmp_path / "s.db", workers=0)
    run(small, store=tmp_path / "s.db", workers=0)
    with Store.open(tmp_path / "s.db") as store:
        ((name, document),) = store.spaces()
    assert name == "small"
    assert document["designs"][0]["fields"]["tiles"] == [1, 2, 4, 8, 16]


def spelled(machine, fields, constraint="area_mm2 < 60"):
    return {
        "machine": machine,
        "fields": fields,
        "workloads": ["gemm:m=8,n=8,k=8"],
        "objectives": ["time", "area"],
        "constraints": [constraint],
    }


@pytest.mark.parametrize("constraint", ["area_mm2 < 60", "area_mm2 < 0.001"])
def test_a_store_answers_in_the_words_of_the_space_that_asks(tmp_path, constraint):
    fixed = spelled("systolic:rows=16", {"cols": [4, 8, 16]}, constraint)
    free = spelled("systolic", {"rows": [8, 16], "cols": [4, 8, 16]}, constraint)
    first = run(fixed, workers=0, store=tmp_path / "both.db")
    both = run(free, workers=0, store=tmp_path / "both.db")
    alone = run(free, workers=0, store=tmp_path / "alone.db")
    assert {row.key for row in first.rows} < {row.key for row in both.rows}
    assert both.rows == alone.rows
    assert both.to_dict() | {"store": ""} == alone.to_dict() | {"store": ""}
    # The names are the spaces', the results one: such stores can be put together.
    assert merge(tmp_path / "alone.db", [tmp_path / "both.db"]) == 0


@pytest.mark.parametrize("workers", [0, 2])
def test_designs_that_two_machines_share_are_evaluated_once_and_counted_for_both(wild, tmp_path, workers):
    file = wild("number = [1]\n")
    text = file.read_text().replace('machine = "./wild.py"\n', "").partition("[fields]")[0]
    each = '[[designs]]\nmachine = "./wild.py"\nfields.number = {}\n'
    file.write_text(text + each.format("[1, 2, 3, 4]") + each.format("[3, 4, 5, 6]"))
    found = run(file, workers=workers, store=tmp_path / "s.db")
    assert [row.settings["number"] for row in found.rows] == [1, 2, 3, 4, 3, 4, 5, 6]
    with Store.open(tmp_path / "s.db") as store:
        assert len(list(store.rows())) == len(store.attempts()) == 6


def test_a_key_of_synthesised_hardware_knows_the_hardwares_code(small, monkeypatch):
    job = Job.of(space_of_file(small))
    keys = {}
    for version in ("old", "new"):
        monkeypatch.setattr(
            "siloom.explore.job.code_version", lambda parts=(), v=version: v if "rtl" in parts else "the same"
        )
        for fidelity in ("cycles", "synthesis"):
            keys[version, fidelity] = Keys(replace(job, fidelity=fidelity), ["a", "b"]).key(0, {"tiles": 1})
    assert keys["old", "cycles"] == keys["new", "cycles"]
    assert keys["old", "synthesis"] != keys["new", "synthesis"]


@pytest.mark.parametrize(("number", "ended", "rows"), [("[1]", "complete", 1), ("[1, 2]", "seconds", 1)])
def test_what_came_to_its_end_is_complete_however_late(wild, number, ended, rows):
    path = wild(f"number = {number}\n", more="[budget]\nseconds = 0.2\n")
    path.write_text(path.read_text().replace('"./wild.py"', '"./wild.py:wait_s=0.3"'))
    found = run(path, workers=0, store=":memory:")
    assert (found.explored.ended, len(found.rows)) == (ended, rows)
