"""Do missing and dying tools give one line with what to install, and builds appear whole or not at all?"""

from __future__ import annotations

import os
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from siloom.rtl import api, cache, tools
from siloom.sim.errors import MissingPartError


@pytest.fixture
def no_packages(monkeypatch):
    monkeypatch.setattr(tools, "find_spec", lambda name: None)


def test_a_missing_package_is_named_with_the_install_line(no_packages, tmp_path):
    for act in (
        lambda: api.emit("mac", tmp_path / "out"),
        lambda: api.check(None, vectors=1, seed=0),
        lambda: api.check(None, vectors=1, seed=0, simulators=("verilator",)),
    ):
        with pytest.raises(MissingPartError, match=r"'amaranth' is not installed.*pip install 'siloom\[rtl\]'"):
            act()
    assert list(tmp_path.iterdir()) == []
    assert api.list_hardware()


def test_a_missing_compiler_is_named_with_the_install_line(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MissingPartError, match=r"no C\+\+ compiler was found; install one with: apt-get install g\+\+"):
        tools.compiler()


def test_a_tool_that_dies_hangs_or_cannot_start_gives_one_line(tmp_path):
    def python(code):
        return [sys.executable, "-c", code]

    with pytest.raises(MissingPartError, match="ended with exit code 3: an error in line 7; reinstall it with: pip"):
        tools.run(python("import sys; print('hello'); print('an error in line 7'); sys.exit(3)"), folder=tmp_path)
    with pytest.raises(MissingPartError, match="ended with exit code 1: it printed nothing"):
        tools.run(python("import sys; sys.exit(1)"), folder=tmp_path)
    with pytest.raises(MissingPartError, match=r"did not end within 0\.2 s"):
        tools.run(python("import time; time.sleep(20)"), folder=tmp_path, timeout_s=0.2)
    with pytest.raises(MissingPartError, match="no-such-tool cannot be started: No such file"):
        tools.run([str(tmp_path / "no-such-tool")], folder=tmp_path)


def test_the_cause_of_a_trap_is_told_not_the_trace_above_it():
    said = "Trap: error while executing\n  0: yosys.wasm!sort\n\nCaused by:\n    wasm trap: call stack exhausted\n"
    assert tools.telling_line(said) == "wasm trap: call stack exhausted"


def test_a_workspace_is_ours_alone_and_goes_away():
    with tools.workspace() as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()


@pytest.fixture
def cache_root(tmp_path, monkeypatch):
    monkeypatch.setenv("SILOOM_CACHE_DIR", str(tmp_path))
    return tmp_path / "rtl" / "thing"


def test_a_build_is_made_once_however_many_want_it(cache_root):
    made = []

    def make(folder):
        made.append(folder)
        time.sleep(0.05)
        (folder / "part").write_text("whole")

    with ThreadPoolExecutor(4) as pool:
        places = set(pool.map(lambda _: cache.kept("thing", ["x"], make), range(8)))
    assert len(made) == len(places) == 1
    assert (places.pop() / "part").read_text() == "whole"
    assert cache.kept("thing", ["y"], make).name != cache.kept("thing", ["x"], make).name
    assert len(made) == 2


def test_a_build_that_fails_leaves_nothing_and_may_be_tried_again(cache_root):
    def broken(folder):
        (folder / "part").write_text("half")
        raise MissingPartError("no compiler")

    with pytest.raises(MissingPartError):
        cache.kept("thing", ["x"], broken)
    assert [p.suffix for p in cache_root.iterdir()] == [".lock"]
    assert cache.kept("thing", ["x"], lambda folder: None).is_dir()


def test_a_build_that_nobody_used_for_a_month_goes(cache_root):
    old = cache.kept("thing", ["old"], lambda folder: None)
    os.utime(old, (0, 0))
    cache.kept("thing", ["new"], lambda folder: None)
    assert not old.exists()


def test_a_tool_that_takes_too_long_leaves_no_child_behind(tmp_path):
    left = tmp_path / "left"
    with pytest.raises(MissingPartError, match=r"did not end within 0\.5 s"):
        tools.run(["sh", "-c", f"(sleep 1.5; touch {left}) & wait"], folder=tmp_path, timeout_s=0.5)
    time.sleep(2)
    assert not left.exists()
