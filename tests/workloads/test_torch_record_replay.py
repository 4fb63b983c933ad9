"""Do machines run what was recorded: a whole step, or a part of it with another machine for the rest?"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from siloom import compare, load, run  # noqa: E402
from siloom.sim.crossing import crossing  # noqa: E402
from siloom.sim.ops import Attention, Workload  # noqa: E402
from siloom.torch import convert, record, save_trace  # noqa: E402


def encoder() -> nn.Module:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, batch_first=True)
    return nn.TransformerEncoder(layer, 2)


def step(model: nn.Module) -> None:
    x = torch.randn(2, 32, 64, generator=torch.Generator().manual_seed(1))
    optimizer = torch.optim.AdamW(model.parameters())
    model(x).pow(2).mean().backward()
    optimizer.step()


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trace") / "step.npz"
    save_trace(record(encoder(), step), path)
    return path


@pytest.mark.parametrize("machine", ["systolic", "h100", "tpu-v4", "epyc-7763"])
def test_a_whole_step_runs_with_all_its_work(trace: Path, machine: str) -> None:
    work = load(trace)
    made = run(machine, work)
    assert made.coverage == {"operations": 1.0, "flops": 1.0}
    assert made.unsupported == [] or made.unsupported == ()
    assert made.operations["effective_multiplies"] == sum(item.op.multiplies * item.repeat for item in work.items)


def test_attention_alone_is_the_part_of_an_attention_machine(trace: Path) -> None:
    work = load(trace)
    made = run("elsa", work)
    forward = [item.op for item in work.items if isinstance(item.op, Attention) and item.op.direction == "fwd"]
    assert len(forward) == 2
    assert made.coverage["operations"] == 2 / len(work.items)
    assert made.coverage["flops"] == pytest.approx(sum(op.flops for op in forward) / work.flops)
    shares = sum(row["flops_share"] for row in made.unsupported)
    assert made.coverage["flops"] + shares == pytest.approx(1.0)
    assert "layers.0.self_attn backward" in [row["name"] for row in made.unsupported]


def test_the_rest_of_the_step_runs_on_a_gpu_with_the_transfers_between(trace: Path) -> None:
    work = load(trace)
    alone, together = run("h100", work), run("elsa", work, rest="h100")
    free = run("elsa", work, rest="h100", link="ideal")
    own = [item.op for item in work.items if isinstance(item.op, Attention) and item.op.direction == "fwd"]
    moved = sum(sum(crossing(op)) for op in own)
    assert together.traffic_bytes["link_operands"] + together.traffic_bytes["link_results"] == moved
    assert together.coverage == {"operations": 1.0, "flops": 1.0}
    # The GPU does the rest as it does alone: what differs is attention and its transfers.
    by_gpu = [row["seconds"] for row, item in zip(alone.rows, work.items, strict=True) if item.op not in own]
    assert [row["seconds"] for row in together.rows if row["machine"] == "h100"] == by_gpu
    assert together.over_rest["supported"] > together.over_rest["with_transfers"]
    assert together.over_rest["whole"] == pytest.approx(alone.seconds / together.seconds)
    assert free.seconds < together.seconds and free.energy_j < together.energy_j


def test_the_command_line_says_the_same(trace: Path) -> None:
    command = [sys.executable, "-m", "siloom", "run", "elsa", str(trace), "--rest", "h100", "--json"]
    said = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    made = run("elsa", load(trace), rest="h100")
    assert (said["seconds"], said["over_rest"]) == (made.seconds, dict(made.over_rest))
    assert said["rows"] == list(made.rows)
    shown = subprocess.run(command[:-1], capture_output=True, text=True, check=True).stdout
    assert "speed-up over h100, the whole" in shown


def test_machines_are_compared_on_the_whole_step_with_the_rest(trace: Path) -> None:
    frame = compare(load(trace), ["elsa", "h100"], ["h100"], rest="h100", link="nvlink4")
    made = run("elsa", load(trace), rest="h100", link="nvlink4")
    assert list(frame["seconds"]) == [made.seconds, run("h100", load(trace)).seconds]
    assert frame["speedup"][0]["h100"] == pytest.approx(made.over_rest["whole"])


def test_recorded_attention_is_computed_on_its_own_operands(trace: Path) -> None:
    """Exact attention of the recorded q, k and v, in a machine that computes it, is what torch's layer computed."""
    first = next(item.op for item in load(trace).items if isinstance(item.op, Attention))
    q, k, v = (torch.from_numpy(np.array(x)) for x in (first.q, first.k, first.v))
    model = encoder()
    seen = []

    def catch(module: nn.Module, inputs: tuple, output: tuple) -> None:
        seen.append(output[0].detach())

    model.layers[0].self_attn.register_forward_hook(catch)
    step(model)
    heads = nn.functional.scaled_dot_product_attention(q, k, v)
    before = encoder().layers[0].self_attn.out_proj
    want = before(heads.transpose(1, 2).flatten(2))
    assert torch.allclose(want, seen[0], atol=1e-5)


def test_a_converted_model_is_recorded_in_its_arithmetic() -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))

    def both(model: nn.Module) -> None:
        model(torch.ones(3, 8)).sum().backward()

    plain, made = record(model, both), record(convert(model, "int8:acc=24"), both)

    def products(work: Workload) -> list[tuple[int, str]]:
        return sorted((item.op.multiplies, item.op.name) for item in work.items if item.op.kind == "matmul")

    assert products(made) == products(plain)
    assert {item.op.format for item in made.items if item.op.kind == "matmul"} == {"int8"}
    assert products(record(convert(model, "int8:acc=24"), both, shapes_only=True)) == products(plain)
