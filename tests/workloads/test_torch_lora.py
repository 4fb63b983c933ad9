"""LoRA: adapters beside frozen layers compute, learn and cost what the paper says."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs siloom[train]")

from torch import nn  # noqa: E402

from siloom.sim.errors import InputError  # noqa: E402
from siloom.sim.ops import MatMul, Workload  # noqa: E402
from siloom.workloads.torch.plan import Plan  # noqa: E402
from siloom.workloads.torch.recorded import recorded  # noqa: E402
from siloom.workloads.torch.techniques.lora import Adapted, adapt, merge  # noqa: E402
from siloom.workloads.torch.training import Training, train  # noqa: E402

RANK, BATCH = 4, 32
LAYERS = [(64, 128), (128, 128), (128, 10)]
"""Inputs and outputs of the MLP of digits."""


def run(*techniques: str, recipe: str = "digits", steps: int = 2, **choices: object) -> Training:
    chosen = {"optimizer_text": "adamw:lr=0.003", **choices}
    return Training(Plan.of(recipe, steps=steps, technique_texts=techniques, **chosen))  # type: ignore[arg-type]


def multiplies(made: Workload) -> int:
    return sum(item.op.multiplies * item.repeat for item in made.items if isinstance(item.op, MatMul))


@pytest.mark.parametrize("way", ["fp32", "int8:acc=24"])
@pytest.mark.parametrize("recipe", ["digits", "digits:model=vit"])
def test_before_the_first_step_the_network_is_the_base(recipe: str, way: str) -> None:
    plain, adapted = run(recipe=recipe, arithmetic=way), run("lora", recipe=recipe, arithmetic=way)
    x, _ = plain.data.held_out.take(slice(0, 16))
    assert torch.equal(plain.model(x), adapted.model(x))


@pytest.mark.parametrize("recipe", ["digits", "digits:model=vit"])
def test_merged_weights_compute_the_same(recipe: str) -> None:
    training = run("lora:rank=3,alpha=5", recipe=recipe, steps=20)
    training.run()
    x, _ = training.data.held_out.take(slice(0, 64))
    merged = copy.deepcopy(training.model)
    merge(merged)
    assert not any(isinstance(layer, Adapted) for layer in merged.modules())
    plain = run(recipe=recipe).model
    assert merged.state_dict().keys() == plain.state_dict().keys()
    torch.testing.assert_close(merged(x), training.model(x), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(plain(x), training.model(x), rtol=1e-4, atol=1e-5)


def test_gradients_of_adapters_are_projections_of_the_layer_s_own() -> None:
    """Of W + s B A: dB = s dW A' and dA = s B' dW, dW being the gradient of a plain layer of the same weights."""
    torch.manual_seed(0)
    layer, x, target = nn.Linear(6, 5), torch.randn(7, 6), torch.randn(7, 5)
    adapt(layer, rank=2, scale=1.5)
    assert isinstance(layer, Adapted)
    nn.init.normal_(layer.up.weight)
    plain = layer.merged()
    for net in (layer, plain):
        (net(x) - target).square().sum().backward()
    up, down = layer.up.weight, layer.down.weight
    assert up.grad is not None
    assert down.grad is not None
    assert plain.weight.grad is not None
    torch.testing.assert_close(up.grad, 1.5 * plain.weight.grad @ down.detach().T)
    torch.testing.assert_close(down.grad, 1.5 * up.detach().T @ plain.weight.grad)


def test_only_adapters_move() -> None:
    training = run("lora", recipe="digits:model=vit", steps=3)
    before = {name: value.clone() for name, value in training.model.state_dict().items()}
    training.run()
    moved = {name for name, value in training.model.state_dict().items() if not torch.equal(value, before[name])}
    adapters = {name for name in before if name.endswith(("down.weight", "up.weight")) and name.count(".")}
    assert moved == {name for name in adapters if f"{name.removesuffix('.weight')}.down.weight" not in before}
    assert {name for name, weight in training.model.named_parameters() if weight.requires_grad} == moved


@pytest.mark.parametrize("way", ["fp32", "int8:acc=24"])
def test_the_recording_has_no_gradient_of_frozen_weights(way: str) -> None:
    plain, adapted = (recorded(run(*chosen, arithmetic=way)) for chosen in ((), (f"lora:rank={RANK}",)))
    dense = [BATCH * n * m for n, m in LAYERS]
    thin = [BATCH * RANK * (n + m) for n, m in LAYERS]
    # Forward and both gradients, but that of the images.
    assert multiplies(plain) == 3 * sum(dense) - dense[0]
    # Frozen layers: forward, and the gradient of their input; adapters all three.
    wanted = 2 * sum(dense) - dense[0] + 3 * sum(thin) - BATCH * RANK * LAYERS[0][0]
    assert multiplies(adapted) == wanted
    of_weights = {frozenset((n, m)) for n, m in LAYERS}
    gradients = [
        item.op
        for item in adapted.items
        if isinstance(item.op, MatMul) and item.op.k == BATCH and frozenset((item.op.m, item.op.n)) in of_weights
    ]
    assert gradients == []


def test_the_recording_s_optimizer_moves_adapters_alone() -> None:
    made = recorded(run(f"lora:rank={RANK}"))
    trained = RANK * sum(n + m for n, m in LAYERS)
    frozen = sum(n * m + m for n, m in LAYERS)
    updates = [item.op for item in made.items if item.op.name.endswith("weight optimizer")]
    assert sum(op.read_bytes + op.write_bytes for op in updates) == 28 * trained
    # Weights alone where they stand still; weight, gradient and AdamW's two states where they learn.
    assert made.provenance["resident_bytes"] == 4 * frozen + 16 * trained


def test_a_base_is_learned_further(tmp_path: Path) -> None:
    base = tmp_path / "base.safetensors"
    learned = train(Plan.of("digits", steps=100), checkpoint=base)
    training = run(f"lora:base={base}", steps=40)
    at_start = training.judge()[0]
    assert at_start == learned.judge()[0]
    training.run()
    assert training.history.final_loss < learned.history.final_loss


def test_a_base_of_another_network_is_refused(tmp_path: Path) -> None:
    base = tmp_path / "base.safetensors"
    train(Plan.of("digits", steps=1), checkpoint=base)
    with pytest.raises(InputError, match=r"lora: base .* must hold this recipe's network: 1\.0\.0\.bias must be"):
        run(f"lora:base={base}", recipe="digits:model=vit")
