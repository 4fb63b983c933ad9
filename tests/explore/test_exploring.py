"""Is the outcome a function of the space alone: of no executor, no chunk, no shard, no history?"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import siloom
from siloom.explore.executor import Here
from siloom.explore.job import Job, Keys, Task
from siloom.explore.load import space_of_file
from siloom.explore.merge import merge
from siloom.explore.pool import Pool
from siloom.explore.search import searches
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


@pytest.mark.parametrize("method", sorted(searches()))
def test_searches_resume_to_the_same_and_do_not_know_workers(small, tmp_path, method):
    points = 75 if method == "grid" else 40
    small.write_text(small.read_text() + f'[search]\nmethod = "{method}"\nbatch = 8\n[budget]\npoints = {points}\n')
    one = run(small, store=tmp_path / "one.db", workers=0)
    two = run(small, store=tmp_path / "two.db", workers=2)
    assert one.explored.runs == two.explored.runs
    assert exported(tmp_path / "one.db") == exported(tmp_path / "two.db")
    # Stopped at a random moment and gone on with.
    calls = iter(range(10**6))
    run(small, store=tmp_path / "three.db", workers=0, stopped=lambda: next(calls) > 9)
    with Store.open(tmp_path / "three.db") as store:
        assert len(list(store.rows())) < len(one.rows)
    again = run(small, store=tmp_path / "three.db", workers=0)
    assert again.explored.runs == one.explored.runs
    assert exported(tmp_path / "three.db") == exported(tmp_path / "one.db")
    for made in one.explored.runs:
        assert len(set(made.asked)) == len(made.asked) <= 75
    if searches()[method].adaptive:
        assert [made.name for made in one.explored.runs] == [method, "random"]


@pytest.mark.parametrize("method", sorted(searches()))
def test_a_search_depends_on_its_seed_alone(small, method):
    space = space_of_file(small)
    asked = [[searches()[method](space, seed=seed, batch=16, points=32).ask() for _ in range(2)] for seed in (0, 0, 1)]
    assert asked[0] == asked[1]
    assert method == "grid" or asked[0] != asked[2]
    assert all(0 <= index < space.size for index in asked[0][0])


BOWL = """
from dataclasses import dataclass

from siloom.sim.design import Design, parameter
from siloom.sim.machine import Machine
from siloom.sim.ops import MatMul
from siloom.sim.result import Result


@dataclass(frozen=True)
class BowlDesign(Design):
    x: int = parameter(0, unit="", source="test", low=0, high=999)
    y: int = parameter(0, unit="", source="test", low=0, high=999)
    rim: float = parameter(1.0, unit="", source="test", low=1.0, high=2.0)


class Bowl(Machine):
    name = "bowl"
    kind = "accelerator"
    summary = "fastest at one place"
    operations = (MatMul,)
    design_type = BowlDesign

    def run(self, op, *, values=False):
        d = self.design
        far = ((d.x - 137) / 100) ** 2 + ((d.y - 802) / 100) ** 2
        return Result(machine=self.label, workload=op.name or "mm", seconds=d.rim + far)
"""


@pytest.mark.parametrize("method", sorted(name for name, search in searches().items() if search.adaptive))
def test_an_adaptive_search_comes_nearer_to_a_known_best_than_random_does(tmp_path, method):
    (tmp_path / "bowl.py").write_text(BOWL)
    range_ = {"low": 0, "high": 999}
    found = run(
        {
            "designs": [
                {"machine": str(tmp_path / f"bowl.py{rim}"), "fields": {"x": range_, "y": range_}}
                for rim in (":rim=1.5", "")
            ],
            "workloads": ["gemm:m=1,n=1,k=1"],
            "objectives": ["time"],
            "constraints": ["x + y < 1500"],
            "search": {"method": method, "seeds": 3},
            "budget": {"points": 320},
        },
        workers=0,
    )
    best = {}
    for one in found.explored.runs:
        valid = [row for index in one.asked if (row := found.explored.rows[index]).status == "ok"]
        best.setdefault(one.name, []).append(min(row.metrics["seconds"] for row in valid) - 1.0)
    # Of n random points the nearest is within r with 1 - exp(-n pi r^2 / 2e6), so that the median of far is
    # (2e6 ln 2 / (pi n)) / 100^2 = 0.14.
    assert 0.01 < sorted(best["random"])[1] < 1.0
    assert sorted(best[method])[1] < sorted(best["random"])[1]
    assert found.front[0].machine == str(tmp_path / "bowl.py")


def test_random_search_of_a_space_beyond_any_counter():
    from siloom.explore.load import space_of

    space = space_of(
        {
            "machine": "outerspace",
            "fields": {n: {"low": 1, "high": 1000} for n in ("phase_cycles", "dispatch_cycles", "merge_element_cycles")}
            | {n: {"low": 1, "high": 2**31} for n in ("column_piece",)}
            | {n: {"low": 1, "high": 1024} for n in ("l0_mshrs", "l1_mshrs", "outstanding_requests")},
            "workloads": ["uniform:n=9,density=0.1,seed=0"],
            "objectives": ["time"],
        }
    )
    assert space.size > 10**18
    asked = searches()["random"](space, seed=3, batch=50, points=50).ask()
    assert len(set(asked)) == 50
    levels = [space.settings(index)["column_piece"] for index in asked]
    assert len(set(levels)) > 40


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


def test_nothing_valid_says_which_constraint_and_how_near(small, tmp_path):
    small.write_text(small.read_text().replace("area_mm2 < 60", "area_mm2 < 1"))
    document = run(small, workers=0, store=":memory:").to_dict()
    assert document["counts"]["ok"] == 0
    near = document["nearest"]
    assert near["constraint"] == "area_mm2 < 1"
    assert near["missed_by"] == pytest.approx(near["area_mm2"] - 1, rel=1e-9)


@pytest.mark.parametrize(
    ("fields", "more", "told"),
    [
        ('temper = ["raise"]', "", "none of 1 points is valid: 1 failed; most often: ZeroDivisionError: on purpose"),
        ('temper = ["impossible"]', "", "none of 1 points is valid: 1 infeasible; most often: wild: cannot be built"),
        ('temper = ["swell"]', "", "none of 1 points is valid: 1 limits hit"),
        ("number = [1]", "constraints = [\"temper == 'wild'\"]", "the nearest, ./wild.py:number=1: no value"),
        (
            "number = [1]",
            'constraints = ["accuracy > 0.5"]',
            "meets 'accuracy > 0.5'; the nearest, ./wild.py:number=1: no",
        ),
        ("number = [1, 2]", "", ""),
    ],
)
def test_where_there_is_no_front_one_line_says_why(wild, fields, more, told):
    found = run(wild(fields + "\n", more=more), workers=0, store=":memory:")
    assert told in found.why_none
    assert bool(found.front) != bool(found.why_none)
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_machine_without_phases_shows_its_stalls_all_the_same(wild, tmp_path):
    run(wild("number = [1, 20]\n"), workers=0, store=tmp_path / "s.db")
    with Store.open(tmp_path / "s.db") as store:
        first, second = (row.key.hex() for row in store.rows())
    told = siloom_command("store", "explain", tmp_path / "s.db", first[:8]).stdout
    assert "compute: 60 cycles (60.0%)" in told
    assert "hash: 40 cycles (40.0%)" in told
    told = siloom_command("store", "diff", tmp_path / "s.db", first, second).stdout
    assert [line.split()[1] for line in told.splitlines() if line.startswith("│ ")] == [
        "number",
        "seconds",
        "area_mm2",
        "area:",
    ]
    refused = siloom_command("store", "explain", tmp_path / "s.db", first[:3])
    assert (refused.returncode, "the first 4 digits or more" in refused.stderr) == (2, True)


def test_an_objective_that_no_point_has_is_named(wild):
    file = wild("number = [1, 2]\n")
    file.write_text(file.read_text().replace('"area"', '"recall", "energy"'))
    found = run(file, workers=0, store=":memory:")
    assert found.why_none == "wild: none of 2 valid points has recall and energy_j"


def siloom_command(*words, **how):
    return subprocess.run(
        [sys.executable, "-m", "siloom", *map(str, words)], capture_output=True, text=True, timeout=280, **how
    )


def test_the_command_prints_one_document(small, tmp_path):
    done = siloom_command("explore", small, "--json", "--workers", 2)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["evaluations"] == 75
    assert document["front"][0]["design"].startswith("outerspace:tiles=")
    assert (tmp_path / "small.siloom.db").exists()
    key = document["front"][0]["key"]
    store = tmp_path / "small.siloom.db"
    told = siloom_command("store", "explain", store, key[:10])
    assert "merge" in told.stdout
    assert "cycles" in told.stdout
    explained = json.loads(siloom_command("store", "explain", store, document["front"][0]["design"], "--json").stdout)
    work = explained["workloads"][0]
    assert sum(sum(p["stalls"].values()) for p in work["phases"]) == work["cycles"]
    other = document["front"][-1]["key"]
    rows = json.loads(siloom_command("store", "diff", store, key, other, "--json").stdout)["rows"]
    seconds = next(one for one in rows if one["what"] == "seconds")
    assert seconds["percent"] == pytest.approx(100 * (seconds["second"] / seconds["first"] - 1))
    assert siloom_command("store", "export", store, "-o", tmp_path / "t.parquet").returncode == 0
    assert siloom_command("store", "explain", store, "ffffffffffff").returncode == 2
    assert siloom_command("store", "export", small, "-o", tmp_path / "t.csv").returncode == 4


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        ("area_mm2 < 60->area_mm2 < 1", 3, "meets 'area_mm2 < 1'"),
        ("outerspace->outerspice", 4, "did you mean 'outerspace'?"),
        ("uniform:n=60->absent.mtx:n=60", 4, "absent.mtx"),
        ("tiles = [1, 2, 4, 8, 16]->tiles = [1, 2\n", 4, "not TOML"),
    ],
)
def test_bad_input_is_one_line_with_its_code(small, change, code, told):
    before, _, after = change.partition("->")
    small.write_text(small.read_text().replace(before, after))
    done = siloom_command("explore", small, "--workers", 0, "--json")
    assert (done.returncode, told in done.stderr.splitlines()[-1]) == (code, True), done.stderr


@pytest.mark.parametrize(
    ("change", "words", "code", "told"),
    [
        ('"time", "area"->"time"', ["--figure", "f.svg"], 2, "--figure: draws two objectives, and small has one"),
        ("->", ["--store", "p.html", "--page", "p.html"], 2, "p.html: is named for two things"),
        ("->", ["--store", "f.csv", "--figure", "f.svg"], 2, "f.csv: is named for two things"),
        ("->", ["--store", "small.toml"], 2, "small.toml: is named for two things"),
        ('"time", "area"->"time", "recall"', ["--page", "p.html", "--figure", "f.svg"], 3, "valid points has recall"),
    ],
)
def test_what_cannot_be_written_is_told_before_any_work(small, tmp_path, change, words, code, told):
    before, _, after = change.partition("->")
    small.write_text(small.read_text().replace(before, after) if before else small.read_text())
    done = siloom_command("explore", small, "--workers", 0, *words, cwd=tmp_path)
    assert (done.returncode, told in done.stderr) == (code, True), done.stderr
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "small.siloom.db").exists() == (code == 3)
    assert (tmp_path / "p.html").exists() == (code == 3)


def test_a_search_that_did_not_come_to_its_end_says_so(small):
    small.write_text(small.read_text() + "[budget]\nseconds = 1e-6\n[limits]\nseconds = 5\n")
    done = siloom_command("explore", small, "--workers", 0)
    assert done.returncode == 0
    assert "not at its end: the budget's seconds were over" in done.stdout
    assert done.stderr == "siloom: [limits] are kept by worker processes alone; here they are not\n"


def test_a_grid_beyond_its_budget_is_refused_before_anything_is_made(small, tmp_path):
    small.write_text(small.read_text() + '[search]\nmethod = "grid"\n[budget]\npoints = 10\n')
    done = siloom_command("explore", small)
    assert done.returncode == 2
    assert "grid is every point of the space, 75" in done.stderr
    assert not (tmp_path / "small.siloom.db").exists()


def test_a_plan_writes_nothing(small, tmp_path):
    document = json.loads(siloom_command("explore", small, "--plan", "--json").stdout)
    assert document["points"] == 75
    assert document["seconds"] > 0
    assert document["memory_bytes"] > 1 << 20
    assert document["disk_bytes"] > 75 * 100
    assert [path.name for path in tmp_path.iterdir()] == ["small.toml"]


def long_run(wild, count=400, wait=0.02):
    path = wild(f"number = {{ low = 0, high = {count - 1} }}\n", more=f"[budget]\npoints = {count}\n")
    path.write_text(path.read_text().replace('"./wild.py"', f'"./wild.py:wait_s={wait}"'))
    return path


def workers_of(process):
    """The children of a process, by the system's own list."""
    listed = Path(f"/proc/{process.pid}/task").glob("*/children")
    return [int(pid) for path in listed for pid in path.read_text().split()]


def alive(pid):
    """Whether a process runs; one that has ended and is not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_an_interrupt_keeps_everything_and_ends_in_two_seconds(wild, tmp_path):
    path = long_run(wild, wait=0.2)
    command = [sys.executable, "-m", "siloom", "explore", path, "--workers", "2"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    time.sleep(6)
    children = workers_of(process)
    process.send_signal(signal.SIGINT)
    begin = time.monotonic()
    said = process.communicate(timeout=30)[1]
    assert time.monotonic() - begin < 2.5
    assert process.returncode == 130
    assert said.strip().splitlines()[-1] == "siloom: interrupted"
    with Store.open(tmp_path / "wild.siloom.db") as store:
        assert len(store.attempts()) == sum(store.counts().values()) > 0
    time.sleep(0.5)
    assert not [pid for pid in children if alive(pid)]


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("kills", [4, pytest.param(200, marks=pytest.mark.slow)])
def test_killed_at_random_moments_it_ends_as_if_it_never_was(wild, tmp_path, kills):
    """Of driver, worker or both; more points than all the kills leave time for, so that each falls on work."""
    path = long_run(wild, count=60 * kills + 300, wait=0)
    store, rng = tmp_path / "wild.siloom.db", random.Random(kills)
    run(path, store=tmp_path / "truth.db", workers=0)
    command = [sys.executable, "-m", "siloom", "explore", path, "--workers", "2", "--json"]
    slow = {**os.environ, "WILD_WAIT_S": "0.02"}
    counts = [0]
    for kill in range(kills):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=slow)
        time.sleep(rng.uniform(0.5, 2.0))
        whom = rng.choice(["driver", "worker", "both"])
        if whom != "driver":
            for pid in workers_of(process)[:1]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(rng.uniform(0, 0.3))
        if whom == "worker" and process.poll() is None:
            time.sleep(rng.uniform(0, 0.3))  # the driver goes on without it for a while
        process.kill()
        process.wait()
        if store.exists():
            with Store.open(store) as opened:
                keys = [one.key for one in opened.rows()]
            assert len(keys) == len(set(keys)) >= counts[-1], f"kill {kill} lost rows"
            counts.append(len(keys))
    assert kills < 10 or counts[-1] > 200, "the kills fell on no work"
    assert siloom_command("explore", path, "--workers", 2).returncode == 0
    assert exported(store) == exported(tmp_path / "truth.db")


def test_the_package_may_be_called_and_takes_objects():
    import siloom.explore.row

    document = {"workloads": ["gemm:m=16,n=16,k=16"], "objectives": ["time"], "fields": {"rows": [4, 8]}}
    found = siloom.explore(document, machine=siloom.machine("systolic", cols=8), workers=1)
    assert [row.settings["rows"] for row in found.rows] == [4, 8]
    alone = siloom.run(siloom.machine("systolic", cols=8, rows=8), "gemm:m=16,n=16,k=16")
    assert found.rows[1].metrics["seconds"] == alone.seconds
    assert siloom.explore.row.Row is type(found.rows[0])


def test_a_script_with_a_machine_of_its_own_needs_no_guard_beyond_pythons(tmp_path, wild):
    wild("number = [1]\n")
    script = tmp_path / "script.py"
    tail = """
import siloom

print("once")
space = {"workloads": ["gemm:m=4,n=4,k=4"], "objectives": ["time"], "fields": {"number": [1, 2, 3]}}
if __name__ == "__main__":
    found = siloom.explore(space, machine=Wild(WildDesign(wait_s=0.01)), workers=2)
    print([row.metrics["seconds"] for row in found.rows], {row.status for row in found.rows})
"""
    script.write_text((tmp_path / "wild.py").read_text() + tail)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "once\n[2.0, 3.0, 4.0] {'ok'}\n"


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


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(("temper", "reason"), [("leave", "SystemExit"), ("raise", "ZeroDivisionError")])
def test_what_a_machine_raises_is_its_points_fate_whoever_runs_it(wild, workers, temper, reason):
    found = run(wild(f'temper = ["calm", "{temper}"]\n'), workers=workers, store=":memory:")
    assert [(row.status, row.reason) for row in found.rows] == [("ok", ""), ("failed", reason)]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_point_without_room_is_given_up_whoever_runs_it(wild, workers):
    found = run(wild('temper = ["calm", "swell"]\n'), workers=workers, store=":memory:")
    assert found.to_dict()["counts"] == {"ok": 1, "infeasible": 0, "failed": 0, "crashed": 0, "limits_hit": 1}


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
