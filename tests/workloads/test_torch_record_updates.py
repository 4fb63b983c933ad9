"""Does an optimizer's step move what its rule moves, however torch runs it?"""

from __future__ import annotations

from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch")

from torch import nn, optim  # noqa: E402

from siloom.sim.ops import Elementwise, MatMul  # noqa: E402
from siloom.torch import record  # noqa: E402
from siloom.workloads.optimizer import RULES  # noqa: E402

PARAMETERS = 64 * 32 + 32 + 32 * 10 + 10
HOW = {"one by one": {"foreach": False}, "in lists": {"foreach": True}, "fused": {"fused": True}}
RULES_OF_TORCH: dict[str, tuple[Callable, int, str]] = {
    "adamw": (lambda p, **how: optim.AdamW(p, **how), 28, "adamw"),
    "adam": (lambda p, **how: optim.Adam(p, **how), 28, "adam"),
    "sgd": (lambda p, **how: optim.SGD(p, lr=0.1, **how), 12, "sgd"),
    "momentum": (lambda p, **how: optim.SGD(p, lr=0.1, momentum=0.9, **how), 20, "momentum"),
    "nesterov": (lambda p, **how: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, **how), 20, "nesterov"),
    "adagrad": (lambda p, **how: optim.Adagrad(p, **how), 20, "adagrad"),
}


def mlp() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def updates(model: nn.Module, optimizer: Callable, *, shapes_only: bool = False) -> list[Elementwise]:
    def step(model: nn.Module) -> None:
        chosen = optimizer(model.parameters())
        model(torch.ones(4, 64)).sum().backward()
        chosen.step()

    made = record(model, step, shapes_only=shapes_only)
    return [item.op for item in made.items if item.op.name.endswith(" optimizer")]


def bytes_each(made: list[Elementwise]) -> float:
    return sum(op.read_bytes + op.write_bytes for op in made) / PARAMETERS


@pytest.mark.parametrize("shapes_only", [False, True])
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("rule", RULES_OF_TORCH)
def test_traffic_and_arithmetic_are_the_rules(rule: str, how: str, shapes_only: bool) -> None:
    make, moved, name = RULES_OF_TORCH[rule]
    made = updates(mlp(), lambda p: make(p, **HOW[how]), shapes_only=shapes_only)
    assert bytes_each(made) == moved
    assert sum(op.elements for op in made) == PARAMETERS
    assert {op.function for op in made} == {name}
    if name in RULES:
        assert {op.flops_each for op in made} == {RULES[name].flops_each}


@pytest.mark.parametrize(("name", "moved"), [("Lion", 20), ("LARS", 20), ("Lamb", 28)])
def test_optimizers_of_the_library_move_what_their_rules_move(name: str, moved: int) -> None:
    library = pytest.importorskip("pytorch_optimizer")
    made = updates(mlp(), getattr(library, name))
    assert bytes_each(made) == moved
    assert {op.function for op in made} == {name.lower()}


@pytest.mark.parametrize("how", HOW)
def test_later_steps_are_like_the_first(how: str) -> None:
    """The first makes its state, the later ones find it."""
    model = mlp()
    optimizer = optim.AdamW(model.parameters(), **HOW[how])
    first, second = (updates(model, lambda _: optimizer) for _ in range(2))
    assert [op.describe() for op in first] == [op.describe() for op in second]
    assert bytes_each(second) == 28


def test_clipping_gradients_is_the_optimizers_but_no_update() -> None:
    def step(model: nn.Module) -> None:
        model(torch.ones(4, 64)).sum().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)

    made = record(mlp(), step)
    clipped = [item.op for item in made.items if item.op.name == "step optimizer"]
    norms, scaled = clipped[0], clipped[-1]
    # All gradients are read for their norms; then all are read and written, each with the one factor.
    assert norms.read_bytes == 4 * PARAMETERS
    assert norms.flops == PARAMETERS
    assert (scaled.function, scaled.write_bytes) == ("mul", 4 * PARAMETERS)
    assert 4 * PARAMETERS < scaled.read_bytes <= 4 * (PARAMETERS + 4)
    assert not made.provenance["recording"]["absorbed"]


def test_a_frozen_parameter_has_no_update() -> None:
    model = mlp()
    for parameter in model[0].parameters():
        parameter.requires_grad_(False)
    made = updates(model, optim.AdamW)
    assert [op.name for op in made] == ["2.weight optimizer", "2.bias optimizer"]


def test_state_of_rows_and_columns_is_counted_as_it_is() -> None:
    """Adafactor keeps a mean of each row and of each column; what it multiplies stays a product."""
    made = updates(mlp(), optim.Adafactor)
    first = next(op for op in made if op.name == "0.weight optimizer")
    assert first.read_bytes == 4 * (2 * 2048 + 32 + 64)
    assert first.write_bytes == 4 * (2048 + 32 + 64)
    assert [(op.m, op.n, op.k) for op in made if isinstance(op, MatMul)] == [(32, 64, 1), (10, 32, 1)]


def test_shampoo_s_roots_are_counted_by_their_decompositions() -> None:
    """22 n^3 of each matrix: the rest, its products apart, is a few operations an element."""
    library = pytest.importorskip("pytorch_optimizer")
    model = mlp()
    made = updates(model, library.Shampoo)
    decomposed = sum(22 * size**3 for weight in model.parameters() for size in weight.shape)
    counted = sum(op.flops for op in made if isinstance(op, Elementwise))
    assert decomposed < counted < 1.05 * decomposed
    products = [(op.m, op.n, op.k) for op in made if isinstance(op, MatMul)]
    # G G' and its root from its factors, the root times G, then the same of G' G.
    assert products[:6] == [(32, 32, 64), (32, 32, 32), (32, 64, 32), (64, 64, 32), (64, 64, 64), (32, 64, 64)]


def test_a_closure_runs_forward_and_backward_within_the_step() -> None:
    def step(model: nn.Module) -> None:
        chosen = optim.SGD(model.parameters(), lr=0.1)

        def loss() -> torch.Tensor:
            value = model(torch.ones(4, 64)).sum()
            value.backward()
            return value

        chosen.step(loss)

    names = [item.op.name for item in record(mlp(), step).items if isinstance(item.op, MatMul)]
    assert names == ["0 forward", "2 forward", "2 backward", "2 backward", "0 backward"]
