"""``siloom train`` keeps DESIGN's contract: fields, exit codes, one line for an error."""

from __future__ import annotations

import csv
import importlib.util
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from siloom import cli
from siloom.sim.errors import InputError
from siloom.train import interval

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs siloom[train]")
FIELDS = {"final_loss", "accuracy", "steps", "arithmetic", "seconds_per_step", "saturations", "trace"}

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def siloom(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Call the command line in this process, in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")

    def call(*arguments: object) -> tuple[int, str, str]:
        code = cli._run([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def document(answer: tuple[int, str, str]) -> Any:
    code, out, err = answer
    assert code == 0, err
    return json.loads(out, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


@needs_torch
def test_train_prints_the_fields_of_the_contract(siloom: Call) -> None:
    found = document(
        siloom("train", "digits", "--arithmetic", "int8:acc=15", "--steps", "20", "--json", "-o", "r.json")
    )
    assert found.keys() >= FIELDS
    assert (found["arithmetic"], found["steps"], found["seed"], found["trace"]) == ("int8:acc=15", 20, 0, None)
    assert 0 <= found["accuracy"] <= 1
    assert found["saturations"] == sum(row["saturated"] for row in found["counts"]) > 0
    assert {row["pass"] for row in found["counts"]} == {"forward", "grad_input", "grad_weight"}
    assert found["curve"][-1]["step"] == 20
    assert json.loads(Path("r.json").read_text()) == found


@needs_torch
def test_directions_have_arithmetics_of_their_own(siloom: Call) -> None:
    found = document(
        siloom("train", "digits", "--arithmetic", "int8:acc=32", "--backward", "int8:acc=15", "--steps", "5", "--json")
    )
    saturated = {row["pass"]: row["saturated"] for row in found["counts"] if row["layer"].endswith("2")}
    assert saturated["forward"] == 0 < saturated["grad_weight"]


@needs_torch
def test_seeds_become_means_and_an_interval(siloom: Call) -> None:
    found = document(siloom("train", "digits", "--steps", "30", "--seeds", "3", "--seed", "4", "--json"))
    assert found.keys() >= FIELDS
    assert found["seeds"] == [4, 5, 6]
    accuracies = [run["accuracy"] for run in found["runs"]]
    assert found["accuracy"] == pytest.approx(sum(accuracies) / 3)
    low, high = found["accuracy_interval"]
    assert low <= found["accuracy"] <= high


def test_the_interval_is_student_s() -> None:
    # Mean 2, standard error sqrt(1/3), and 4.3027 from a table of t for 2 degrees of freedom.
    assert interval([1.0, 2.0, 3.0]) == pytest.approx((2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), rel=1e-4)
    assert interval([1.0]) is None


@needs_torch
def test_several_arithmetics_are_rows_side_by_side(siloom: Call) -> None:
    asked = ("train", "digits", "--arithmetic", "fp32", "--arithmetic", "int8:acc=15", "--steps", "5")
    found = document(siloom(*asked, "--json"))
    assert [row["arithmetic"] for row in found["rows"]] == ["fp32", "int8:acc=15"]
    code, out, _ = siloom(*asked)
    assert code == 0
    assert "int8:acc=15" in out


@needs_torch
def test_a_killed_run_goes_on_by_command(siloom: Call) -> None:
    assert siloom("train", "digits", "--steps", "9", "--checkpoint", "a.safetensors", "--json")[0] == 0
    found = document(
        siloom(
            "train", "digits", "--steps", "9", "--resume", "a.safetensors", "--checkpoint", "b.safetensors", "--json"
        )
    )
    assert found["steps"] == 9
    assert Path("a.safetensors").read_bytes() == Path("b.safetensors").read_bytes()


@needs_torch
def test_techniques_add_up_and_say_what_they_left_of_the_work(siloom: Call) -> None:
    chosen = ("--technique", "lora:rank=2", "--technique", "layer-drop:rate=0.5", "--technique", "token-drop:edges=0")
    asked = ("train", "digits:model=vit", *chosen, "--steps", "3")
    found = document(siloom(*asked, "--machine", "systolic", "--json"))
    plain = document(siloom("train", "digits:model=vit", "--steps", "3", "--json"))
    assert found["techniques"] == [
        "lora:rank=2,alpha=8.0,base=none",
        "layer-drop:rate=0.5",
        "token-drop:keep=0.5,edges=0",
    ]
    assert plain["techniques"] == plain["work"] == []
    assert plain["trained_parameters"] == plain["parameters"]
    added = found["parameters"] - plain["parameters"]
    assert found["trained_parameters"] == added > 0
    batches = [row for row in found["work"] if row["what"].startswith("batches of block")]
    tokens = [row for row in found["work"] if row["what"].startswith("tokens of block")]
    assert [row["whole"] for row in batches] == [3, 3, 3]
    assert all(row["share"] == row["done"] / row["whole"] for row in batches)
    assert tokens
    assert {row["share"] for row in tokens} == {0.5}
    code, out, _ = siloom(*asked)
    assert code == 0
    assert "batches of block 2" in out


@needs_torch
def test_the_figure_tells_how_many_scores_each_method_kept(siloom: Call) -> None:
    answer = siloom(
        "train", "digits:model=vit", "--steps", "2", "--attention", "exact", "--attention", "sanger:threshold=0.05",
        "--machine", "systolic", "--figure", "f.svg", "--json",
    )  # fmt: skip
    exact, sanger = csv.DictReader(Path("f.csv").read_text().splitlines())
    layers = document(answer)["rows"][1]["attention"]
    assert exact["kept"] == ""
    assert float(sanger["kept"]) == pytest.approx(sum(x["kept"] for x in layers) / sum(x["allowed"] for x in layers))
    assert 0 < float(sanger["kept"]) < 1


@needs_torch
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["digit"], 2, "no recipe 'digit' - did you mean 'digits'?"),
        (["digits", "--arithmetic", "int9"], 2, "no arithmetic 'int9' - did you mean 'int8'?"),
        (["digits:epoch=3"], 2, "digits: no field 'epoch' - did you mean 'epochs'?"),
        (["digits:epochs=0"], 4, "digits: epochs must be at least 1, got 0"),
        (["digits", "--technique", "lara"], 2, "no technique 'lara' - did you mean 'lora'?"),
        (["digits", "--technique", "lora:rank=0"], 4, "lora: rank must be at least 1, got 0"),
        (["digits", "--technique", "stacking"], 4, "stacking: the network of digits has no row of residual blocks"),
        (["digits", "--steps", "0"], 4, "train: steps must be at least 1, got 0"),
        (["digits", "--seed", "-1"], 4, "train: seed must be at least 0, got -1"),
        (["digits", "--loss-scale", "3"], 4, "loss scale: start must be a power of two"),
        (["digits", "--checkpoint", "c.pt"], 2, "c.pt: the file's name must end in .safetensors"),
        (["digits", "--checkpoint", "no/c.safetensors"], 4, "no/c.safetensors: the folder no does not exist"),
        (["digits", "--resume", "no.safetensors"], 4, "no.safetensors: no such file"),
        (["digits", "--seeds", "2", "--checkpoint", "c.safetensors"], 2, "--checkpoint are for one run"),
        (["digits:model=vit", "--steps", "9", "--optimizer", "sgd:lr=1000"], 1, "training stopped at step"),
        (
            ["digits", "--arithmetic", "fp8:acc=e2m1,headroom=none"],
            1,
            "training stopped at step 0: layer 1.1.0, forward",
        ),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_what_cannot_be_trained_is_one_line(siloom: Call, arguments: list[str], code: int, said: str) -> None:
    answer = siloom("train", *arguments)
    assert answer[:2] == (code, "")
    assert said in answer[2]
    # A slow host is told meanwhile that training has begun; that is no error.
    assert len([line for line in answer[2].splitlines() if not line.endswith(" ...")]) == 1


@needs_torch
def test_attention_chosen_for_a_network_without_any_is_noted(siloom: Call) -> None:
    asked = ("train", "digits", "--steps", "1", "--json", "--attention")
    assert document(siloom(*asked, "exact"))["notes"] == []
    assert document(siloom(*asked, "elsa"))["notes"] == ["elsa chose no scores: no layer of digits attends"]


def test_without_torch_the_install_line_is_said(siloom: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    answer = siloom("train", "digits")
    assert answer == (5, "", "siloom: siloom train: needs PyTorch: pip install 'siloom[train]'\n")


@needs_torch
def test_a_step_is_recorded_and_costs_on_machines_what_run_says(siloom: Call) -> None:
    asked = ("train", "digits:model=vit", "--steps", "2", "--attention", "elsa", "--machine", "elsa", "--rest", "h100")
    found = document(siloom(*asked, "--trace", "t.npz", "--json"))
    assert found["trace"] == "t.npz"
    (row,) = found["machines"]
    again = document(siloom("run", "elsa", "t.npz", "--rest", "h100", "--json"))
    for key in ("seconds", "energy_j", "cycles", "operations", "traffic_bytes", "over_rest"):
        assert row[key] == again[key]
    assert row["baseline"]["seconds"] / row["seconds"] == pytest.approx(row["speedup"]["h100"])
    assert {item["density"] < 1 for item in found["attention"]} == {True}


@needs_torch
@pytest.mark.parametrize("more", [(), ("--seeds", "2"), ("--figure", "f.svg")], ids=["one", "seeds", "figure"])
def test_what_was_learned_is_told_though_a_machine_runs_nothing_of_it(siloom: Call, more: tuple[str, ...]) -> None:
    asked = ("train", "digits", "--steps", "2", "--json", *more)
    code, out, err = siloom(*asked, "--machine", "elsa", "--machine", "systolic")
    said = "elsa: supports none of elementwise, matmul, reduce; it runs Attention"
    assert (code, err.splitlines()[-1]) == (3, f"siloom: {said}")
    found = json.loads(out)
    assert found["refused"] == [{"machine": "elsa", "reason": said, "exit_code": 3}]
    assert [row["machine"] for row in found["machines"]] == ["systolic"]
    assert 0.0 < found["final_loss"] < 5.0
    assert Path("f.svg").is_file() == ("--figure" in more)
    Path("f.svg").unlink(missing_ok=True)
    code, out, err = siloom(*asked, "--machine", "elsa", "--machine", "sanger")
    assert (code, json.loads(out)["machines"]) == (3, [])
    assert "; sanger: supports none of" in err.splitlines()[-1]
    assert ("; f.svg is not drawn" in err) == ("--figure" in more)
    assert not Path("f.svg").exists()


BROKEN = """
from dataclasses import replace
from siloom.models.systolic import Systolic

class Broken(Systolic):
    name = 'broken'

    def run(self, op, *, values=False):
        {fault}
"""


@needs_torch
@pytest.mark.parametrize(
    "asked,fault",
    [
        ("--machine ./broken.py", "raise KeyError('of its own')"),
        ("--machine ./broken.py", "return replace(super().run(op), notes=(object(),))"),
        ("--machine ./broken.py", "return replace(super().run(op), counters={'x': float('nan')})"),
        ("--machine elsa --rest ./broken.py", "raise KeyError('of its own')"),
    ],
)
def test_what_was_learned_is_told_though_a_machine_of_the_user_s_breaks(siloom: Call, asked: str, fault: str) -> None:
    Path("broken.py").write_text(BROKEN.format(fault=fault))
    code, out, err = siloom("train", "digits", "--steps", "2", *asked.split(), "--json")
    assert code == 4
    assert err.splitlines()[-1].startswith("siloom: broken.py: ")
    found = json.loads(out)
    assert (found["steps"], found["machines"]) == (2, [])
    assert found["refused"][0]["reason"].startswith("broken.py: ")


@needs_torch
def test_numbers_that_could_not_be_written_beside_a_figure_are_told_before_the_training(siloom: Call) -> None:
    Path("f.csv").mkdir()
    code, out, err = siloom("train", "digits", "--steps", "2", "--machine", "systolic", "--figure", "f.svg", "--json")
    assert (code, out) == (4, "")
    assert err.splitlines() == ["siloom: f.csv: is a folder"]


@needs_torch
@pytest.mark.parametrize(
    "place,asked",
    [
        ("siloom.reports.training_figure.write_training_figure", "--machine systolic --figure f.svg"),
        ("siloom.reports.files.write_whole", "--out o.json"),
    ],
)
def test_what_was_learned_is_told_though_a_file_of_it_cannot_be_written(
    siloom: Call, monkeypatch: pytest.MonkeyPatch, place: str, asked: str
) -> None:
    def full(*_: object) -> None:
        raise InputError("cannot be written: No space left on device")

    monkeypatch.setattr(place, full)
    code, out, err = siloom("train", "digits", "--steps", "2", *asked.split(), "--json")
    assert (code, json.loads(out)["steps"]) == (4, 2)
    assert err.splitlines()[-1] == "siloom: cannot be written: No space left on device"


@needs_torch
def test_recording_a_step_changes_nothing_that_was_learned(siloom: Call) -> None:
    asked = ("train", "digits", "--steps", "4", "--checkpoint", "c.safetensors", "--json")
    plain = document(siloom(*asked))
    before = Path("c.safetensors").read_bytes()
    found = document(siloom(*asked, "--machine", "systolic"))
    assert Path("c.safetensors").read_bytes() == before
    assert (plain["final_loss"], plain["curve"]) == (found["final_loss"], found["curve"])


@needs_torch
def test_the_figure_s_numbers_lie_beside_it(siloom: Call) -> None:
    answer = siloom(
        "train", "digits", "--steps", "4", "--arithmetic", "fp32", "--arithmetic", "int8", "--seeds", "2",
        "--machine", "systolic", "--figure", "f.svg", "--json",
    )  # fmt: skip
    found = document(answer)
    rows = list(csv.DictReader(Path("f.csv").read_text().splitlines()))
    assert [row["variant"] for row in rows] == ["fp32", "int8"]
    for row, drawn in zip(found["rows"], rows, strict=True):
        assert float(drawn["value"]) == row["accuracy"]
        assert float(drawn["seconds"]) == row["machines"][0]["seconds"]
        assert float(drawn["low"]) <= float(drawn["value"]) <= float(drawn["high"])
    assert Path("f.svg").read_text().startswith("<?xml")


@needs_torch
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--figure", "f.svg"], 2, "--figure shows what a step takes on a machine"),
        (["--trace", "t.npz", "--attention", "elsa", "--attention", "exact"], 2, "--trace keeps one step"),
        (["--trace", "t.json"], 2, "t.json: the file's name must end in .npz"),
        (["--rest", "h100"], 2, "--rest and --link go with a machine that runs the step"),
        (["--machine", "elsa", "--link", "pcie44"], 2, "no link 'pcie44' - did you mean 'pcie4'?"),
        (["--machine", "elsaa"], 2, "no machine 'elsaa' - did you mean 'elsa'?"),
        (["--attention", "elsaa"], 2, "no attention 'elsaa' - did you mean 'elsa'?"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_what_cannot_be_shown_is_said_before_the_training(
    siloom: Call, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, said: str
) -> None:
    monkeypatch.setattr("siloom.train.run", lambda *_, **__: pytest.fail("it was trained"))
    answer = siloom("train", "digits", *arguments)
    assert answer[:2] == (code, "")
    assert said in answer[2]


@needs_torch
@pytest.mark.slow
def test_a_process_that_is_killed_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    def command(*arguments: str) -> list[str]:
        shared = ["train", "digits:validations=40", "--steps", "400", "--optimizer", "adamw", "--json"]
        return [sys.executable, "-m", "siloom", *shared, *arguments]

    killed, whole = tmp_path / "killed.safetensors", tmp_path / "whole.safetensors"
    process = subprocess.Popen(command("--checkpoint", str(killed)), stdout=subprocess.DEVNULL)
    while not killed.exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    subprocess.run(command("--checkpoint", str(whole)), check=True, stdout=subprocess.DEVNULL)
    assert killed.read_bytes() != whole.read_bytes()
    resumed = command("--resume", str(killed), "--checkpoint", str(killed))
    subprocess.run(resumed, check=True, stdout=subprocess.DEVNULL)
    assert killed.read_bytes() == whole.read_bytes()
