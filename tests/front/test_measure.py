"""``siloom measure`` and its files on the command line: exit codes, one line, whole files, a machine everywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from siloom import measure
from siloom.models import _measure_host
from siloom.sim.errors import InputError, MissingPartError, UsageError


def siloom(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "siloom", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, env={**os.environ, **(env or {})}, check=False
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """This host, quickly measured once for the tests of this file."""
    out = tmp_path_factory.mktemp("measured") / "here.toml"
    done = siloom("measure", "host", "-o", str(out), "--quick", "--json")
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout)


def test_a_measured_host_states_its_errors_and_every_measurement(measured: tuple[Path, dict[str, Any]]) -> None:
    path, said = measured
    assert path.is_file()
    assert [p.name for p in path.parent.iterdir()] == ["here.toml"]
    assert said["base"] == "cpu"
    assert set(said["fit"]) == {"matmul", "spgemm", "attention", "reduce", "elementwise"}
    assert said["fit"]["matmul"]["fields"] == ["clock_hz", "overhead_s"]
    for row in said["measurement"]:
        assert 0 < row["fastest_s"] <= row["seconds"] * 1.000001 and row["seconds"] <= row["slowest_s"] * 1.000001
    worst = max(
        abs(r["modelled_s"] / r["seconds"] - 1) for r in said["measurement"] if r["operation"].startswith("gemm")
    )
    assert worst == pytest.approx(said["fit"]["matmul"]["error_max"], rel=1e-9)


def test_the_file_is_a_machine_in_run_and_compare(measured: tuple[Path, dict[str, Any]]) -> None:
    path, _ = measured
    run = siloom("run", str(path), "gemm:m=200,n=200,k=200,format=fp32", "--json")
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    assert result["machine"] == str(path)
    assert result["kind"] == "modelled" and result["energy_j"] is None
    assert result["seconds"] > 0
    again = siloom("run", str(path), "gemm:m=200,n=200,k=200,format=fp32", "--json")
    assert again.stdout == run.stdout
    other = siloom("compare", "gemm:m=64,n=64,k=64,format=fp32", "a100", "host", f"{path}:cores=2", "--json")
    assert other.returncode == 0, other.stderr
    assert len(json.loads(other.stdout)["rows"]) == 3


def test_a_measured_machine_misused_ends_in_one_line(measured: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    path, _ = measured
    broken = tmp_path / "broken.toml"
    broken.write_text(path.read_text().replace("clock_hz", "clock_khz"))
    cases = [
        (f"{path}:clock=3", 2, "no field 'clock' - did you mean 'clock_hz'"),
        (str(broken), 4, "clock_khz: cpu has no such field"),
    ]
    for machine, code, said in cases:
        done = siloom("run", machine, "gemm:m=8,n=8,k=8")
        assert done.returncode == code, done.stderr
        assert said in done.stderr
        assert done.stderr.count("\n") == 1


def test_no_gpu_is_one_line_and_an_optional_part_missing(tmp_path: Path) -> None:
    """A stub in the place of torch, so that the test is the same on a computer that has one."""
    (tmp_path / "torch.py").write_text("__version__ = '2.6.0+cpu'\nclass version: cuda = None\n")
    (tmp_path / "cupy.py").write_text("raise ModuleNotFoundError(\"No module named 'cupy'\", name='cupy')")
    out = tmp_path / "gpu.toml"
    out.write_text("what was measured before")
    done = siloom("measure", "cuda", "-o", str(out), env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 5
    assert done.stderr.count("\n") == 1
    assert "torch 2.6.0+cpu is built for CPUs only" in done.stderr and "pip install" in done.stderr
    assert done.stdout == ""
    assert out.read_text() == "what was measured before"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("gpu", "-o", "x.toml"), 2, "no target 'gpu'"),
        (("hst", "-o", "x.toml"), 2, "did you mean 'host'"),
        (("host", "-o", "x.json"), 2, "must end in .toml"),
        (("host", "-o", "a:b.toml"), 2, "hold no ':'"),
        (("host", "-o", "/no/such/folder/x.toml"), 4, "does not exist"),
        (("host",), 2, "Missing option"),
        (("host", "-o", "x.toml", "--threads", "0"), 2, "--threads"),
    ],
)
def test_misuse_is_told_before_anything_is_measured(arguments: tuple[str, ...], code: int, said: str) -> None:
    done = siloom("measure", *arguments)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert not Path("x.toml").exists()


def test_a_run_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "here.toml"
    out.write_text("old")

    def fails(*_: Any, **__: Any) -> Any:
        raise MissingPartError("gone")

    monkeypatch.setattr(_measure_host, "measure", fails)
    with pytest.raises(MissingPartError):
        measure.measure("host", out)
    assert out.read_text() == "old"
    with pytest.raises(UsageError, match="no target"):
        measure.measure("tpu", out)
    with pytest.raises(InputError, match="does not exist"):
        measure.measure("host", tmp_path / "absent" / "x.toml")
    assert [p.name for p in tmp_path.iterdir()] == ["here.toml"]
