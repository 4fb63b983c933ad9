"""Does the command say what it found, why it found nothing, and keep all when it is ended?"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from siloom.explore.store import Store
from siloom.exploring import run
from siloom.reports.exploration_table import csv_bytes


def exported(path):
    with Store.open(Path(path), read_only=True) as store:
        return csv_bytes(store.rows())


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
