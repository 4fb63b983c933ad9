"""Layers left out at random: as often as stated, without cost, and judged as the papers do."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

torch = pytest.importorskip("torch", reason="needs siloom[train]")

from torch import nn  # noqa: E402

from siloom.sim.ops import MatMul, Workload  # noqa: E402
from siloom.workloads.torch.plan import Plan  # noqa: E402
from siloom.workloads.torch.recorded import recorded  # noqa: E402
from siloom.workloads.torch.techniques.layer_drop import Skipped  # noqa: E402
from siloom.workloads.torch.training import Training  # noqa: E402

VIT = "digits:model=vit,batch=8"


def run(*techniques: str, recipe: str = VIT, steps: int = 2, **choices: object) -> Training:
    return Training(Plan.of(recipe, steps=steps, technique_texts=techniques, **choices))  # type: ignore[arg-type]


def rates(training: Training) -> list[float]:
    return [module.rate for module in training.model.modules() if isinstance(module, Skipped)]


def set_rates(training: Training, values: Sequence[float]) -> None:
    blocks = [module for module in training.model.modules() if isinstance(module, Skipped)]
    for block, rate in zip(blocks, values, strict=True):
        block.rate = rate


def multiplies(made: Workload) -> dict[str, int]:
    """By block; what is in none under "else"."""
    out: dict[str, int] = {}
    for item in made.items:
        if isinstance(item.op, MatMul):
            words = item.op.name.split(".")
            place = f"block {words[1]}" if words[0] == "blocks" else "else"
            out[place] = out.get(place, 0) + item.op.multiplies * item.repeat
    return out


def test_rates_are_even_or_rise_with_depth() -> None:
    assert rates(run("layer-drop:rate=0.3")) == [0.3] * 3
    assert rates(run("stochastic-depth:rate=0.6")) == pytest.approx([0.2, 0.4, 0.6])


def test_blocks_are_left_out_as_often_as_stated_and_counted() -> None:
    training = run("stochastic-depth:rate=0.6")
    training.model.train()
    from siloom.workloads.torch.meter import metered

    torch.manual_seed(0)
    x = torch.zeros(1, 8, 8)
    with metered() as meter, torch.no_grad():
        for _ in range(600):
            training.model(x)
    for number, rate in enumerate((0.2, 0.4, 0.6)):
        done = meter.done[f"batches of block {number}"]
        assert done.whole == 600
        assert done.share == pytest.approx(1 - rate, abs=5 * (rate * (1 - rate) / 600) ** 0.5)


@pytest.mark.parametrize("technique", ["layer-drop:rate=0.4", "stochastic-depth:rate=0.4"])
def test_nothing_is_random_when_judged(technique: str) -> None:
    training = run(technique)
    state = torch.get_rng_state()
    assert training.judge() == training.judge()
    assert torch.equal(torch.get_rng_state(), state)


def test_layer_drop_judges_all_blocks_as_they_are() -> None:
    assert run("layer-drop:rate=0.4").judge() == run().judge()


def test_stochastic_depth_judges_the_mean_over_draws() -> None:
    """Of one block: the block with what its rate leaves, else what came in."""
    torch.manual_seed(0)
    inner, x = nn.Linear(4, 4), torch.randn(5, 4)
    block = Skipped(inner, 0, 0.3, 0.7)
    outcomes = {}
    for rate in (0.0, 1.0):
        block.rate = rate
        outcomes[rate] = block.train()(x)
    assert torch.equal(outcomes[1.0], x)
    torch.testing.assert_close(block.eval()(x), 0.7 * outcomes[0.0] + 0.3 * outcomes[1.0])


@pytest.mark.parametrize("way", ["fp32", "int8:acc=24"])
def test_blocks_left_out_are_not_in_the_recording_and_do_not_move(way: str) -> None:
    plain, dropped = run(arithmetic=way), run("layer-drop", arithmetic=way, optimizer_text="adamw:lr=0.01")
    set_rates(dropped, (0.0, 1.0, 0.0))
    before = {name: value.clone() for name, value in dropped.model.named_parameters()}
    made = recorded(dropped)
    whole = multiplies(recorded(plain))
    assert whole.pop("block 1") > 0
    assert multiplies(made) == whole
    moved = {name for name, value in dropped.model.named_parameters() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if "blocks.1." not in name}
    updated = sum(item.op.elements for item in made.items if item.op.name.endswith(" optimizer"))
    assert updated == sum(before[name].numel() for name in moved)


def test_activations_computed_again_take_the_same_way() -> None:
    made = []
    for recipe in (VIT, f"{VIT},remat=1"):
        training = run("layer-drop:rate=0.5", recipe=recipe, steps=4)
        training.run()
        made.append(training.model)
    for one, two in zip(made[0].parameters(), made[1].parameters(), strict=True):
        assert torch.equal(one, two)
