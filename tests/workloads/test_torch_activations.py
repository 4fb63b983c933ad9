"""Compressed activations: rounding and gradients are right in the mean, and the bytes are those that are kept."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs siloom[train]")

from torch import nn  # noqa: E402

from siloom.sim.ops import MatMul, Workload  # noqa: E402
from siloom.workloads.torch.few_bits import few_bits, packed, unpacked  # noqa: E402
from siloom.workloads.torch.plan import Plan  # noqa: E402
from siloom.workloads.torch.recorded import recorded  # noqa: E402
from siloom.workloads.torch.training import Training  # noqa: E402

GRID = 64
"""Draws, evenly spaced in [0, 1), whose mean stands for that over all draws."""


def run(*techniques: str, recipe: str = "digits", steps: int = 2, **choices: object) -> Training:
    return Training(Plan.of(recipe, steps=steps, technique_texts=techniques, **choices))  # type: ignore[arg-type]


class Draws:
    """Stands for ``torch.rand_like``: the same number everywhere, to be set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.value = 0.0
        monkeypatch.setattr(torch, "rand_like", lambda x: torch.full_like(x, self.value))

    def over_all(self):
        for number in range(GRID):
            self.value = (number + 0.5) / GRID
            yield


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_codes_come_back_from_their_bytes(bits: int) -> None:
    codes = torch.randint(0, 2**bits, (64,), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    made = packed(codes, bits)
    assert (made.dtype, len(made)) == (torch.uint8, 64 * bits // 8)
    assert torch.equal(unpacked(made, bits), codes)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("size", [1, 24, 37])
def test_rounding_is_right_in_the_mean_and_varies_by_its_law(
    bits: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.randn(size, 3, generator=torch.Generator().manual_seed(0))
    groups = torch.cat([x.flatten(), x.flatten()[-1:].expand(-x.numel() % 8)]).view(-1, 8).double()
    step = (groups.amax(1, True) - groups.amin(1, True)) / (2**bits - 1)
    fraction = torch.where(step > 0, (groups - groups.amin(1, True)) / step, 0.0) % 1
    step, fraction = (y.expand_as(groups).flatten()[: x.numel()].view(x.shape) for y in (step, fraction))
    made = []
    for _ in Draws(monkeypatch).over_all():
        rounded = few_bits(x, bits, 8).real()
        assert rounded.shape == x.shape
        assert ((rounded - x).abs() <= step * (1 + 1e-5)).all()
        made.append(rounded.double())
    draws = torch.stack(made)
    # A grid of draws misses a probability by at most one draw.
    assert ((draws.mean(0) - x).abs() <= step / GRID + 1e-5).all()
    law = step.square() * fraction * (1 - fraction)
    assert ((draws - x).square().mean(0) - law).abs().max() <= (step.square() / GRID).max() + 1e-5


def test_the_ends_of_a_group_are_exact() -> None:
    x = torch.tensor([3.0, -1.5, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6] + [7.25] * 8)
    made = few_bits(x, 2, 8).real()
    assert made[:2].tolist() == [3.0, -1.5]
    assert made[8:].tolist() == [7.25] * 8


@pytest.mark.parametrize("recipe", ["digits", "digits:model=vit,batch=4", "mnist5k:channels=2,hidden=8,batch=4"])
def test_gradients_are_right_in_the_mean(recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of weights are linear in what is rounded; no other is touched by it."""
    plain, training = run(recipe=recipe), run("activations", recipe=recipe)
    plain._gradients()
    wanted = {name: weight.grad.clone() for name, weight in plain.model.named_parameters()}
    mean = {name: torch.zeros_like(value) for name, value in wanted.items()}
    spread = 0.0
    for _ in Draws(monkeypatch).over_all():
        training._gradients()
        for name, weight in training.model.named_parameters():
            layer = training.model.get_submodule(name.rpartition(".")[0])
            if not (name.endswith("weight") and isinstance(layer, nn.Linear | nn.Conv2d)):
                assert torch.equal(weight.grad, wanted[name]), name
            mean[name] += weight.grad / GRID
            spread = max(spread, float((weight.grad - wanted[name]).norm() / wanted[name].norm()))
    assert spread > 0.05
    for name, value in wanted.items():
        assert (mean[name] - value).norm() <= 2 / GRID * spread * value.norm() + 1e-5 * value.norm(), name


def test_the_bytes_are_those_of_codes_ranges_and_signs() -> None:
    training = run("activations", steps=3)
    training.run()
    ((what, done),) = training.history.done.items()
    assert what == "bytes kept for the backward pass"
    images, hidden = 32 * 64, 32 * 128
    # Two bits a number, two reals a group of 256; of both ReLUs, whose outputs are the next layers' inputs, a bit each.
    by_hand = sum(n // 4 + 8 * n // 256 for n in (images, hidden, hidden)) + 2 * hidden // 8
    assert (done.done, done.whole) == (3 * by_hand, 3 * 4 * (images + 2 * hidden))


def test_what_is_kept_without_is_what_torch_keeps() -> None:
    """By another road: hooks around the whole network, each memory once."""
    plain, training = (run(*chosen, recipe="digits:model=vit,batch=4", steps=1) for chosen in ((), ("activations",)))
    weights = {value.untyped_storage().data_ptr() for value in plain.model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def note(x: torch.Tensor) -> torch.Tensor:
        if x.untyped_storage().data_ptr() not in weights:
            kept[x.untyped_storage().data_ptr()] = x
        return x

    ((inputs, _),) = plain.batches()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        plain.model(inputs)
    training.run()
    (done,) = training.history.done.values()
    assert done.whole == sum(x.untyped_storage().nbytes() for x in kept.values())
    assert done.share < 0.7


def multiplies(made: Workload) -> int:
    return sum(item.op.multiplies * item.repeat for item in made.items if isinstance(item.op, MatMul))


@pytest.mark.parametrize("way", ["fp32", "int8:acc=24"])
def test_the_recording_has_the_rounding_in_its_layer_and_the_reading_behind_it(way: str) -> None:
    plain, few = (recorded(run(*chosen, arithmetic=way)) for chosen in ((), ("activations",)))
    assert multiplies(plain) == multiplies(few)
    drawn = [item.op for item in few.items if getattr(item.op, "function", "") == "rand_like"]
    assert [op.name for op in drawn] == ["1.0.0 forward", "1.1.0 forward", "1.2 forward"]
    assert [op.elements for op in drawn] == [32 * 64, 32 * 128, 32 * 128]
    # Codes are taken out of their bytes by layers and ReLUs alike.
    read = [item.op.name for item in few.items if getattr(item.op, "function", "") == "bitwise_and"]
    assert read == ["1.2 backward", "1.1.1 backward", "1.1.0 backward", "1.0.1 backward", "1.0.0 backward"]
    assert not [note for note in few.provenance["notes"] if "taken as one operation" in note]


def test_masked_weights_are_not_rounded() -> None:
    dense, few = (run(*chosen, sparsity_text="rigl:density=0.5") for chosen in ((), ("activations",)))
    for training in (dense, few):
        torch.manual_seed(0)
        training._advance()
    # Rounded weights would change the gradients of the layers below: those of biases depend on weights alone.
    for name, weight in dense.model.named_parameters():
        if name.endswith("bias"):
            assert torch.equal(weight, few.model.get_parameter(name)), name
