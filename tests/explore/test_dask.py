"""A real Dask scheduler with two worker processes on this computer, one of which is killed in the middle."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from siloom.explore.store import Store
from siloom.exploring import run
from siloom.reports.exploration_table import csv_bytes
from siloom.sim.errors import InputError, SiloomError

pytest.importorskip("distributed", reason="Dask is not installed")


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture
def cluster(tmp_path):
    """Address of a scheduler, its two workers' processes, and its own."""
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    environment = {**os.environ, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "2", "OMP_NUM_THREADS": "1"}

    def start(program, *words):
        command = [sys.executable, "-m", f"distributed.cli.{program}", *words, "--no-dashboard"]
        return subprocess.Popen(command, env=environment, **quiet)

    processes = [start("dask_scheduler", "--host", "127.0.0.1", "--port", str(port))]
    for number in range(2):
        folder = str(tmp_path / f"dask{number}")
        how = ("--nthreads", "1", "--no-nanny", "--name", f"w{number}", "--local-directory", folder)
        processes.append(start("dask_worker", address, *how))
    yield address, processes[1:], processes[0]
    for process in processes:
        process.kill()
        process.wait()


def exported(path):
    with Store.open(path, read_only=True) as store:
        return csv_bytes(store.rows())


def test_a_cluster_gives_the_same_bytes_though_a_worker_is_killed(wild, tmp_path, cluster):
    address, workers, _ = cluster
    path = wild("number = { low = 0, high = 399 }\ntemper = ['calm', 'impossible']\n", more="[budget]\npoints = 800\n")
    path.write_text(path.read_text().replace('"./wild.py"', '"./wild.py:wait_s=0.01"'))
    run(path, store=tmp_path / "truth.db", workers=0)
    seen = []

    def kill_one(progress):
        seen.append(progress.done)
        if progress.done > 100 and workers[0].poll() is None:
            workers[0].send_signal(signal.SIGKILL)
            workers[0].wait()

    found = run(path, store=tmp_path / "dask.db", cluster=address, watch=kill_one)
    assert workers[0].returncode == -signal.SIGKILL
    assert len(found.rows) == 800
    assert exported(tmp_path / "dask.db") == exported(tmp_path / "truth.db")


def test_a_point_that_kills_workers_is_found_on_a_cluster_too(wild, tmp_path, cluster):
    address, workers, _ = cluster
    path = wild("number = { low = 0, high = 40 }\n")
    path.write_text(path.read_text().replace('"./wild.py"', '"./wild.py:die_at=17"'))
    done = threading.Event()

    def again():
        """What keeps a cluster's workers alive: one that dies is started anew."""
        arguments = workers[0].args
        while not done.is_set():
            for number, worker in enumerate(workers):
                if worker.poll() is not None:
                    fresh = [re.sub(r"^w\d$", f"again{time.monotonic_ns()}", text) for text in arguments]
                    workers[number] = subprocess.Popen(
                        fresh, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                    )
            time.sleep(0.2)

    keeper = threading.Thread(target=again)
    keeper.start()
    try:
        found = run(path, store=tmp_path / "dask.db", cluster=address)
    finally:
        done.set()
        keeper.join()
        for worker in workers:
            worker.kill()
            worker.wait()
    assert {row.settings["number"]: row.status for row in found.rows if row.status != "ok"} == {17: "crashed"}
    assert len(found.rows) == 41


def test_a_scheduler_that_dies_is_one_line_and_loses_nothing(wild, tmp_path, cluster):
    address, _, scheduler = cluster
    path = wild("number = { low = 0, high = 399 }\n", more="[budget]\npoints = 400\n")
    path.write_text(path.read_text().replace('"./wild.py"', '"./wild.py:wait_s=0.01"'))
    command = [sys.executable, "-m", "siloom", "explore", path, "--cluster", address]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    store = tmp_path / "wild.siloom.db"

    def kept():
        if not store.exists() or not store.stat().st_size:
            return 0
        with Store.open(store, read_only=True) as one:
            return len(list(one.rows()))

    end = time.monotonic() + 60
    while kept() < 20 and time.monotonic() < end:
        time.sleep(0.1)
    scheduler.kill()
    _, said = running.communicate(timeout=60)
    assert running.returncode == 4
    assert said.startswith(f"siloom: --cluster {address}: the scheduler is gone")
    assert said.count("\n") == 1
    assert 20 <= kept() < 400
    assert len(run(path, workers=0).rows) == 400


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense", "tcp://nowhere.invalid:8786"])
def test_nobody_at_the_address_is_one_line(small, tmp_path, address, monkeypatch):
    monkeypatch.setattr("siloom.explore.dask_cluster._CONNECT_S", 1)
    with pytest.raises(SiloomError) as told:
        run(small, store=tmp_path / "s.db", cluster=address)
    assert isinstance(told.value, InputError)
    assert "\n" not in str(told.value)
