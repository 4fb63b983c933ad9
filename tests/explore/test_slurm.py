"""Do jobs of SLURM's queue evaluate as this process does? The queue is a stand-in: scripts that run a job at once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from siloom.explore.slurm import SlurmJobs, slurm_cluster
from siloom.explore.store import Store
from siloom.exploring import run
from siloom.reports.exploration_table import csv_bytes
from siloom.sim.errors import InputError, MissingPartError, UsageError

pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")

SBATCH = """#!/bin/sh
if [ "$1" = --test-only ]; then
  grep -q '^#SBATCH -p nowhere$' "$2" && { echo "sbatch: error: invalid partition specified: nowhere" >&2; exit 1; }
  exit 0
fi
cp "$1" "$QUEUE/job$$.sh"
setsid sh "$QUEUE/job$$.sh" >/dev/null 2>&1 &
echo $! > "$QUEUE/$!.pid"
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
kill -TERM -- "-$1"
"""


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """A folder that has the scripts of all jobs that were submitted; each runs at once, as a process group."""
    folder = tmp_path / "queue"
    folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("QUEUE", str(folder))
    monkeypatch.setenv("DASK_CONFIG", str(tmp_path / "none"))
    yield folder
    for file in folder.glob("*.pid"):
        subprocess.run(["kill", "-KILL", "--", f"-{file.stem}"], check=False, capture_output=True)


def exported(path):
    with Store.open(path, read_only=True) as store:
        return csv_bytes(store.rows())


def test_jobs_give_the_same_bytes_and_are_cancelled(wild, tmp_path, queue, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = wild("number = { low = 0, high = 59 }\ntemper = ['calm', 'impossible']\n", more="[budget]\npoints = 120\n")
    run(path, store=tmp_path / "truth.db", workers=0)
    run(path, store=tmp_path / "slurm.db", cluster="slurm:jobs=2,cores=1,memory=1GB")
    assert exported(tmp_path / "slurm.db") == exported(tmp_path / "truth.db")
    jobs = [int(file.stem) for file in queue.glob("*.pid")]
    assert len(jobs) == 2
    end = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in jobs) and time.monotonic() < end:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{pid}").exists() for pid in jobs)


def test_the_jobs_script_asks_for_what_was_said(queue):
    text = "slurm:jobs=3,cores=4,memory=8GB,walltime=1-02:00:00,queue=short,account=me"
    jobs = SlurmJobs.of(text)
    assert jobs.jobs == 3
    with slurm_cluster(jobs) as cluster:
        script = cluster.job_script().splitlines()
    asked = {line for line in script if line.startswith("#SBATCH")}
    assert {"#SBATCH --cpus-per-task=4", "#SBATCH --mem=8G", "#SBATCH -t 1-02:00:00"} <= asked
    assert {"#SBATCH -p short", "#SBATCH -A me"} <= asked
    (worker,) = [line for line in script if "distributed" in line]
    assert worker.startswith(sys.executable)
    assert "--nthreads 1 " in worker
    assert "--nworkers 4 " in worker


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("slurm:core=4", "no setting 'core' - did you mean 'cores'?"),
        ("slurm:cores=0", "cores must be a whole number from 1 to 10000, got '0'"),
        ("slurm:cores=²", "cores must be a whole number"),
        ("slurm:jobs=9999999999", "jobs must be a whole number"),
        ("slurm:memory=much", "memory must be a word as 32GB, got 'much'"),
        ("slurm:queue=a b; rm -rf x", "queue must be a word as short"),
        ("slurm:walltime=1h", "walltime must be a word as 02:00:00"),
        ("slurm:", "no setting after the ':'"),
        ("slurm:cores=1,memory=1GB,interface=nonesuch0", "no interface 'nonesuch0' here"),
        ("slurm:cores=1", "name memory, as slurm:cores=8"),
        ("slurm:jobs=1", "name cores, as slurm:cores=8,memory=32GB"),
    ],
)
def test_what_no_job_can_be_made_of_is_one_line(small, queue, text, told):
    with pytest.raises(UsageError) as caught:
        run(small, store=":memory:", cluster=text)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_job_that_the_queue_refuses_is_one_line_in_its_words(small, queue):
    with pytest.raises(InputError, match="sbatch refuses the job: sbatch: error: invalid partition specified: nowhere"):
        run(small, store=":memory:", cluster="slurm:cores=1,memory=1GB,queue=nowhere")
    assert not list(queue.glob("*.pid"))


def test_without_a_queue_an_optional_part_is_missing(small, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(MissingPartError, match="no sbatch here"):
        run(small, store=":memory:", cluster="slurm:cores=1,memory=1GB")


def test_the_command_says_so_in_one_line_with_its_code(small):
    """The command line works in a thread of its own, where dask-jobqueue's own handlers cannot be set."""
    command = [sys.executable, "-m", "siloom", "explore", str(small), "--cluster", "slurm:cores=1,memory=1GB"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": "/nonexistent"})
    assert done.returncode == 5
    assert done.stderr.startswith("siloom: --cluster slurm: there is no sbatch here")
    assert done.stderr.count("\n") == 1


def test_an_interrupt_cancels_the_jobs(wild, tmp_path, queue):
    path = wild("number = { low = 0, high = 999 }\n", more="[budget]\npoints = 1000\n")
    path.write_text(path.read_text().replace('"./wild.py"', '"./wild.py:wait_s=0.1"'))
    command = [sys.executable, "-m", "siloom", "explore", str(path), "--cluster", "slurm:cores=1,memory=1GB"]
    running = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    store = tmp_path / "wild.siloom.db"
    end = time.monotonic() + 60
    while time.monotonic() < end:
        time.sleep(0.2)
        if store.exists() and store.stat().st_size:
            with Store.open(store, read_only=True) as kept:
                if sum(kept.counts().values()):
                    break
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=30)
    assert (running.returncode, said) == (130, "siloom: interrupted\n")
    (job,) = [int(file.stem) for file in queue.glob("*.pid")]
    end = time.monotonic() + 30
    while Path(f"/proc/{job}").exists() and time.monotonic() < end:
        time.sleep(0.1)
    assert not Path(f"/proc/{job}").exists()
