"""Progressive stacking: a stage is as deep and as dear as it says, and copies are what they were copied from."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs siloom[train]")

from siloom.sim.ops import MatMul, Workload  # noqa: E402
from siloom.workloads.torch.checkpoint import load, save  # noqa: E402
from siloom.workloads.torch.plan import Plan  # noqa: E402
from siloom.workloads.torch.recorded import recorded  # noqa: E402
from siloom.workloads.torch.techniques.stacking import Growing  # noqa: E402
from siloom.workloads.torch.training import Training  # noqa: E402

LM = "stdlib-lm:width=16,layers={},heads=2,length=16,batch=3,judged_on=4"


def run(*techniques: str, layers: int = 4, steps: int = 12, **choices: object) -> Training:
    chosen = {"optimizer_text": "adamw:lr=0.003", **choices}
    return Training(Plan.of(LM.format(layers), steps=steps, technique_texts=techniques, **chosen))  # type: ignore[arg-type]


def row(training: Training) -> Growing:
    return next(module for module in training.model.modules() if isinstance(module, Growing))


def advance(training: Training, steps: int) -> None:
    while training.step < steps:
        training._advance()


def multiplies(made: Workload) -> int:
    return sum(item.op.multiplies * item.repeat for item in made.items if isinstance(item.op, MatMul))


def test_depth_doubles_where_stages_begin() -> None:
    training = run("stacking:doublings=2,until=0.5", layers=8)
    depths = []
    for step in range(12):
        advance(training, step + 1)
        depths.append(len(row(training)))
    assert depths == [2] * 3 + [4] * 3 + [8] * 6


def test_behind_a_doubling_the_row_is_applied_twice() -> None:
    training = run("stacking:until=0.5")
    advance(training, 6)
    x = torch.randn(2, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        twice = row(training)(row(training)(x))
        (technique,) = training.plan.techniques
        technique.update(training.model, training.optimizer, 6, training.steps)
        assert torch.equal(row(training)(x), twice)
    assert len(row(training)) == 4


@pytest.mark.parametrize("state", ["copied", "fresh"])
def test_the_optimizer_s_state_is_copied_or_begins_anew(state: str) -> None:
    training = run(f"stacking:until=0.5,state={state}")
    advance(training, 6)
    (technique,) = training.plan.techniques
    technique.update(training.model, training.optimizer, 6, training.steps)
    blocks, known = list(row(training)), training.optimizer.state
    for below, above in zip(blocks[:2], blocks[2:], strict=True):
        for old, new in zip(below.parameters(), above.parameters(), strict=True):
            assert torch.equal(old, new)
            assert old is not new
            assert known[old]["step"] == 6
            if state == "fresh":
                assert new not in known
                continue
            assert known[new].keys() == known[old].keys()
            for name, value in known[old].items():
                assert torch.equal(known[new][name], value)
                assert known[new][name] is not value


@pytest.mark.parametrize("way", ["fp32", "int8:acc=24"])
def test_a_stage_costs_what_a_network_of_its_depth_costs(way: str) -> None:
    shallow, deep = (run(layers=layers, arithmetic=way) for layers in (2, 4))
    training = run("stacking:until=0.5", arithmetic=way)
    for other in (shallow, deep):
        made, own = recorded(other), recorded(training)
        assert multiplies(own) == multiplies(made)
        # Weights, gradients and AdamW's two states of those blocks alone that are there.
        assert own.provenance["resident_bytes"] == made.provenance["resident_bytes"]
        names = [sorted(item.op.name for item in work.items) for work in (own, made)]
        assert names[0] == names[1]
        advance(training, 12)


def test_copies_part_again() -> None:
    training = run("stacking:until=0.5")
    advance(training, 12)
    blocks = list(row(training))
    assert not torch.equal(blocks[0].up.weight, blocks[2].up.weight)
    assert {id(weight) for group in training.optimizer.param_groups for weight in group["params"]} == {
        id(weight) for weight in training.model.parameters()
    }


@pytest.mark.parametrize("at", [5, 6, 7])
def test_a_run_goes_on_alike_from_before_and_behind_a_doubling(at: int, tmp_path: Path) -> None:
    whole, first = run("stacking:until=0.5"), tmp_path / "c.safetensors"
    advance(whole, at)
    save(whole, first)
    later = run("stacking:until=0.5")
    load(later, first)
    for training in (whole, later):
        torch.manual_seed(0)
        advance(training, 12)
    assert len(row(later)) == 4
    for one, two in zip(whole.model.parameters(), later.model.parameters(), strict=True):
        assert torch.equal(one, two)
