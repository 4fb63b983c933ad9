"""What becomes of points that do harm: does each lose itself alone, whoever evaluates it?"""

import os
from pathlib import Path

import pytest

from siloom.explore.executor import Here
from siloom.explore.job import Job, Task
from siloom.explore.load import space_of_file
from siloom.explore.pool import Pool
from siloom.explore.store import Store
from siloom.exploring import run
from siloom.sim.errors import MissingPartError


def tasks_of(path):
    space = space_of_file(path)
    job = Job.of(space)
    return job, [Task(n.to_bytes(16, "big"), 0, space.settings(n)) for n in range(space.size)]


def test_the_pool_agrees_with_this_process(wild):
    job, tasks = tasks_of(wild("number = { low = 0, high = 199 }\ntemper = ['calm', 'impossible', 'print', 'raise']\n"))
    here = {one.task.key: one.row for one in Here(job).run(iter(tasks), lambda: False)}
    with Pool(job, 2) as pool:
        there = [one for one in pool.run(iter(tasks), lambda: False) if one is not None]
    assert len(there) == len(tasks)
    assert {one.task.key: one.row for one in there} == here
    assert {row.status for row in here.values()} == {"ok", "infeasible", "failed"}


@pytest.mark.parametrize(("harm", "most"), [("hang_at", 4), ("die_at", 5)])
def test_nothing_goes_out_behind_a_point_that_is_tried_alone(wild, monkeypatch, harm, most):
    path = wild("number = { low = 0, high = 399 }\n", more="[limits]\nseconds = 1.0\n")
    path.write_text(path.read_text().replace('"./wild.py"', f'"./wild.py:{harm}=0,wait_s=0.02"'))
    job, tasks = tasks_of(path)
    starts = []
    start = Pool._start
    monkeypatch.setattr(Pool, "_start", lambda pool: (starts.append(1), start(pool)))
    with Pool(job, 2) as pool:
        outcomes = [one.outcome for one in pool.run(iter(tasks), lambda: False) if one is not None]
    assert outcomes.count("done") == 399
    # Two at first; one for the death with others, one for that alone, and one more where a death alone is tried again.
    assert len(starts) <= most


def test_there_are_no_more_workers_than_points(wild):
    job, tasks = tasks_of(wild("number = [1, 2]\n"))
    pids = set()
    with Pool(job, 40) as pool:
        for _ in pool.run(iter(tasks), lambda: False):
            pids |= {int(text) for text in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}
    assert 1 <= len(pids) <= 2


def test_a_point_that_kills_its_worker_is_found_and_alone_is_lost(wild):
    path = wild("number = { low = 0, high = 99 }\n", more="")
    path.write_text(path.read_text().replace('"./wild.py"', '"./wild.py:die_at=37"'))
    found = run(path, workers=2, store=":memory:")
    assert [one.settings["number"] for one in found.rows if one.status != "ok"] == [37]
    assert found.rows[37].status == found.rows[37].reason == "crashed"
    assert len(found.rows) == 100


def test_a_point_that_hangs_is_given_up_and_is_no_row(wild, tmp_path):
    path = wild("number = { low = 0, high = 30 }\n", more="[limits]\nseconds = 1.0\n")
    path.write_text(path.read_text().replace('"./wild.py"', '"./wild.py:hang_at=5"'))
    found = run(path, workers=2, store=tmp_path / "s.db")
    assert len(found.rows) == 30
    assert found.to_dict()["counts"]["limits_hit"] == 1
    with Store.open(tmp_path / "s.db") as store:
        assert [a.outcome for a in store.attempts() if a.outcome != "done"] == ["timeout"]


def test_a_point_that_hangs_is_given_up_while_others_report_without_a_pause(wild):
    path = wild("number = { low = 0, high = 399 }\n", more="[limits]\nseconds = 1.0\n")
    path.write_text(path.read_text().replace('"./wild.py"', '"./wild.py:hang_at=0,wait_s=0.02"'))
    job, tasks = tasks_of(path)
    with Pool(job, 2) as pool:
        outcomes = [one.outcome for one in pool.run(iter(tasks), lambda: False) if one is not None]
    assert sorted(outcomes) == ["done"] * 399 + ["timeout"]
    assert outcomes.index("timeout") < 380


def test_a_point_that_eats_memory_is_given_up(wild, tmp_path):
    path = wild("number = [1, 2, 3]\ntemper = ['calm', 'eat']\n", more=f"[limits]\nmemory_bytes = {2 << 30}\n")
    found = run(path, workers=1, store=tmp_path / "s.db")
    assert [one.settings["temper"] for one in found.rows] == ["calm"] * 3
    with Store.open(tmp_path / "s.db") as store:
        assert {a.outcome for a in store.attempts() if a.outcome != "done"} == {"memory"}


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(("temper", "reason"), [("leave", "SystemExit"), ("raise", "ZeroDivisionError")])
def test_what_a_machine_raises_is_its_points_fate_whoever_runs_it(wild, workers, temper, reason):
    found = run(wild(f'temper = ["calm", "{temper}"]\n'), workers=workers, store=":memory:")
    assert [(row.status, row.reason) for row in found.rows] == [("ok", ""), ("failed", reason)]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_point_without_room_is_given_up_whoever_runs_it(wild, workers):
    found = run(wild('temper = ["calm", "swell"]\n'), workers=workers, store=":memory:")
    assert found.to_dict()["counts"] == {"ok": 1, "infeasible": 0, "failed": 0, "crashed": 0, "limits_hit": 1}


@pytest.mark.parametrize("workers", [0, 1])
def test_what_is_not_installed_is_no_points_fate(wild, tmp_path, workers):
    """A row would stay when the part is there."""
    path = wild('temper = ["calm", "lack"]\nnumber = [1, 2]\n', more='[search]\nmethod = "grid"\n')
    with pytest.raises(MissingPartError, match="pip install wool"):
        run(path, workers=workers, store=tmp_path / "s.db")
    with Store.open(tmp_path / "s.db") as store:
        assert {row.status for row in store.rows()} <= {"ok"}
    machine = path.with_name("wild.py")
    machine.write_text(machine.read_text().replace('if d.temper == "lack"', "if False"))
    assert [row.status for row in run(path, workers=workers, store=tmp_path / "s.db").rows] == ["ok"] * 4
