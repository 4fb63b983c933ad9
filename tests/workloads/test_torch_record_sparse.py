"""Are products with masked weights recorded as sparse products, with the pattern and the values that they had?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn.utils import prune  # noqa: E402

from siloom import load, run  # noqa: E402
from siloom.sim.ops import SDDMM, MatMul, SpMM, Workload  # noqa: E402
from siloom.torch import record, save_trace  # noqa: E402

ROWS = 16


def inputs() -> torch.Tensor:
    return torch.randn(ROWS, 32, generator=torch.Generator().manual_seed(1))


def network() -> nn.Module:
    """The first layer is square: its weights and their transpose have one shape."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))


def pruned() -> nn.Module:
    model = network()
    for layer in (model[0], model[2]):
        prune.l1_unstructured(layer, "weight", amount=0.8)
    return model


def masked() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """Zeros that nothing but the caller knows of, in both layers."""
    model, generator = network(), torch.Generator().manual_seed(2)
    masks = {
        name: torch.rand(p.shape, generator=generator) < 0.2 for name, p in model.named_parameters() if p.dim() == 2
    }
    with torch.no_grad():
        for name, mask in masks.items():
            model.get_parameter(name).mul_(mask)
    return model, masks


def step(model: nn.Module) -> None:
    model(inputs()).pow(2).sum().backward()


def by_name(made: Workload) -> dict[str, list]:
    out: dict[str, list] = {}
    for item in made.items:
        if isinstance(item.op, SpMM | SDDMM | MatMul):
            out.setdefault(item.op.name, []).append(item.op)
    return out


@pytest.mark.parametrize("way", ["pruned", "masked"])
def test_all_three_products_are_sparse_and_hold_the_numbers(way: str) -> None:
    model, masks = (pruned(), {}) if way == "pruned" else masked()
    ops = by_name(record(model, step, masks=masks))
    assert {name: [op.kind for op in found] for name, found in ops.items()} == {
        "0 forward": ["spmm"],
        "2 forward": ["spmm"],
        "2 backward": ["spmm", "sddmm"],
        "0 backward": ["sddmm"],
    }
    x, first, last = inputs(), model[0], model[2]
    hidden = torch.relu(first(x)).detach()
    weights = {name: layer.weight.detach().numpy() for name, layer in (("0", first), ("2", last))}
    for name, layer_in in (("0", x), ("2", hidden)):
        (forward,) = ops[f"{name} forward"]
        assert np.array_equal(forward.a.to_scipy().toarray().astype(np.float32), weights[name])
        assert np.array_equal(forward.b, layer_in.numpy().T)
    grad_out = 2 * last(hidden).detach().numpy()
    to_input, to_weight = ops["2 backward"]
    assert np.array_equal(to_input.a.to_scipy().toarray().astype(np.float32), weights["2"].T)
    assert np.allclose(to_input.b, grad_out.T, rtol=1e-5)
    assert np.array_equal(to_weight.mask.to_scipy().toarray() != 0, weights["2"] != 0)
    # The sampled product is the gradient that torch left, at the mask.
    gradient = (last.weight_orig if way == "pruned" else last.weight).grad.numpy()
    kept = weights["2"] != 0
    assert np.allclose((to_weight.x @ to_weight.y)[kept], gradient[kept], rtol=1e-4, atol=1e-5)
    (square,) = ops["0 backward"]
    assert np.array_equal(square.mask.to_scipy().toarray() != 0, weights["0"] != 0)
    gradient = (first.weight_orig if way == "pruned" else first.weight).grad.numpy()
    kept = weights["0"] != 0
    assert np.allclose((square.x @ square.y)[kept], gradient[kept], rtol=1e-4, atol=1e-5)


def test_multiplies_are_those_of_the_weights_that_are_there() -> None:
    model, masks = masked()
    ops = by_name(record(model, step, masks=masks))
    left = {name: int(mask.sum()) for name, mask in masks.items()}
    assert [op.multiplies for op in ops["0 forward"] + ops["0 backward"]] == [ROWS * left["0.weight"]] * 2
    assert [op.multiplies for op in ops["2 forward"] + ops["2 backward"]] == [ROWS * left["2.weight"]] * 3


def test_a_pruned_convolution_is_the_sparse_product_it_is_lowered_to() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(6, 6, 3, groups=2))
    for layer in (model[0], model[2], model[3]):
        prune.random_unstructured(layer, "weight", amount=0.5)
    x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    made = record(model, lambda model: model(x).sum().backward())
    ops = by_name(made)
    kept = {name: int(model[int(name)].weight_mask.sum()) for name in "02"}
    places = 2 * 6 * 6
    assert [(op.kind, op.multiplies) for op in ops["0 forward"] + ops["0 backward"]] == [
        ("spmm", kept["0"] * places),
        ("sddmm", kept["0"] * places),
    ]
    assert [(op.kind, op.multiplies) for op in ops["2 forward"] + ops["2 backward"]] == [
        ("spmm", kept["2"] * places),
        ("spmm", kept["2"] * places),
        ("sddmm", kept["2"] * places),
    ]
    weights = model[2].weight.detach().flatten(1).numpy()
    assert np.array_equal(ops["2 forward"][0].a.to_scipy().toarray().astype(np.float32), weights)
    assert np.array_equal(ops["2 backward"][0].a.to_scipy().toarray().astype(np.float32), weights.T)
    # Each has the gradient of its bias beside the products.
    assert [
        item.op.function for item in made.items if item.op.name == "2 backward" and item.op.flops == 6 * places
    ] == ["sum"]
    assert any("masked filters in groups" in note for note in made.provenance["notes"])
    assert run("outerspace", made).coverage["operations"] > 0


def test_two_of_four_weights_are_a_product_for_24_hardware_forward() -> None:
    model = network()
    masks = {f"{name}.weight": larger_half(model[int(name)].weight) for name in "02"}
    with torch.no_grad():
        for name, mask in masks.items():
            model.get_parameter(name).mul_(mask)
    made = record(model, step, masks=masks)
    found = [(op.name, op.kind, op.sparse24) for ops in by_name(made).values() for op in ops]
    assert found == [
        ("0 forward", "matmul", True),
        ("2 forward", "matmul", True),
        ("2 backward", "matmul", False),
        ("2 backward", "matmul", False),
        ("0 backward", "matmul", False),
    ]
    ran = run("sparse24", made)
    assert ran.coverage == {"operations": 1.0, "flops": 1.0}
    assert ran.seconds < run("sparse24", record(network(), step)).seconds


def larger_half(weight: torch.Tensor) -> torch.Tensor:
    """A mask that keeps two of every four neighbours."""
    fours = weight.detach().abs().reshape(-1, 4)
    mask = torch.zeros_like(fours, dtype=torch.bool)
    return mask.scatter(1, fours.topk(2, dim=1).indices, True).reshape(weight.shape)


def test_a_mask_that_keeps_all_leaves_products_dense() -> None:
    made = record(network(), step, masks={"0.weight": torch.ones(32, 32)})
    assert {op.kind for ops in by_name(made).values() for op in ops} == {"matmul"}


def test_shapes_alone_do_not_know_a_pattern_and_say_so() -> None:
    made = record(pruned(), step, shapes_only=True)
    assert {op.kind for ops in by_name(made).values() for op in ops} == {"matmul"}
    assert "weights are masked, but shapes say not where: their products are dense" in made.provenance["notes"]


def test_a_trace_of_sparse_products_runs_on_outerspace(tmp_path: Path) -> None:
    save_trace(record(pruned(), step), tmp_path / "sparse.npz")
    read = load(tmp_path / "sparse.npz")
    alone = run("outerspace", read)
    assert {row["kind"] for row in alone.rows} == {"spmm", "sddmm"}
    assert alone.operations["effective_multiplies"] == sum(
        item.op.multiplies for item in read.items if isinstance(item.op, SpMM | SDDMM)
    )
    together = run("outerspace", read, rest="h100")
    assert together.coverage == {"operations": 1.0, "flops": 1.0}
    assert set(together.over_rest) == {"baseline", "supported", "with_transfers", "whole"}
