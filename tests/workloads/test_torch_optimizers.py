"""Optimizers, schedules and sparsities do what their names say: state and traffic as published, masks as counted."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

torch = pytest.importorskip("torch", reason="needs siloom[train]")

from siloom.sim.errors import InputError, UsageError  # noqa: E402
from siloom.workloads.torch.optimizer import optimizer, optimizers  # noqa: E402
from siloom.workloads.torch.optimizer_cost import cost  # noqa: E402
from siloom.workloads.torch.plan import Plan  # noqa: E402
from siloom.workloads.torch.schedule import schedule, schedules  # noqa: E402
from siloom.workloads.torch.sparse import sparsities, sparsity  # noqa: E402
from siloom.workloads.torch.sparsity.rigl import moved  # noqa: E402
from siloom.workloads.torch.sparsity.sparse24 import larger_half  # noqa: E402
from siloom.workloads.torch.training import Training  # noqa: E402

PUBLISHED_BYTES = {
    "sgd": (0, 12),
    "momentum": (4, 20),
    "nesterov": (4, 20),
    "adagrad": (4, 20),
    "rmsprop": (4, 20),
    "adam": (8, 28),
    "adamw": (8, 28),
    "lion": (4, 20),
    "lars": (4, 20),
    "lamb": (8, 28),
}
"""State and traffic a weight, by hand: read weight and gradient, write the weight (12), read and write each state."""


OTHERS = ("adafactor", "sam", "shampoo", "sm3")
"""Whose state is no whole number of bytes a weight, or that take more than one gradient."""


def training(**choices: object) -> Training:
    return Training(Plan.of("digits", **{"steps": 40, **choices}))  # type: ignore[arg-type]


def steps_of(run: Training, count: int) -> Iterator[Training]:
    for _ in range(count):
        run._advance()
        yield run


@pytest.mark.parametrize("name", PUBLISHED_BYTES)
def test_state_and_traffic_are_those_of_the_rule(name: str) -> None:
    found = cost(optimizer(name))
    assert (found.state_bytes, found.traffic_bytes, found.gradients) == (*PUBLISHED_BYTES[name], 1)


def test_adafactor_keeps_rows_and_columns_alone() -> None:
    assert cost(optimizer("adafactor"), (30, 50)).state_bytes == 4 * (30 + 50) / (30 * 50)


def test_sm3_keeps_rows_and_columns_and_with_momentum_a_number_a_weight() -> None:
    n, m = 30, 50
    for text, each in (("sm3", 0), ("sm3:momentum=0.9", 4)):
        found = cost(optimizer(text), (n, m))
        bounds = 4 * (n + m) / (n * m)
        assert found.state_bytes == each + bounds
        assert found.traffic_bytes == pytest.approx(12 + 2 * (each + bounds))


def test_shampoo_keeps_two_matrices_and_their_roots() -> None:
    n, m = 30, 50
    found, kept = cost(optimizer("shampoo"), (n, m)), 2 * 4 * (n * n + m * m) / (n * m)
    assert found.state_bytes == pytest.approx(kept)
    assert found.traffic_bytes == pytest.approx(12 + 2 * kept)


def test_sam_takes_two_gradients_and_puts_the_weights_by() -> None:
    found = cost(optimizer("sam"))
    # SGD with momentum, 20; uphill and back: read weight and gradient, write weight, put by; read it, write weight.
    assert (found.state_bytes, found.traffic_bytes, found.gradients) == (4, 20 + 6 * 4, 2)


def test_every_optimizer_is_in_one_of_these_tests() -> None:
    assert set(optimizers()) == {*PUBLISHED_BYTES, *OTHERS}


@pytest.mark.parametrize("name", [*PUBLISHED_BYTES, *OTHERS])
def test_every_optimizer_learns_and_goes_on_alike(name: str, tmp_path: object) -> None:
    from pathlib import Path

    from siloom.workloads.torch.checkpoint import load, save

    first = training(optimizer_text=name)
    losses = [run.history.recent[-1] for run in steps_of(first, 40)]
    assert sum(losses[-5:]) < sum(losses[:5])
    path = Path(str(tmp_path)) / "c.safetensors"
    save(first, path)
    second = training(optimizer_text=name)
    load(second, path)
    for run in (first, second):
        run._advance()
    for one, two in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(one, two)


def test_momentum_is_the_rule_written_out() -> None:
    weight = torch.nn.Parameter(torch.tensor([1.0]))
    made = optimizer("momentum:lr=0.1,momentum=0.5").make([weight])
    by_hand, buffer = 1.0, 0.0
    for gradient in (2.0, -1.0, 0.5):
        weight.grad = torch.tensor([gradient])
        made.step()
        buffer = 0.5 * buffer + gradient
        by_hand -= 0.1 * buffer
        assert weight.item() == pytest.approx(by_hand)


def test_sm3_is_the_rule_written_out() -> None:
    weight = torch.nn.Parameter(torch.zeros(2, 3))
    made = optimizer("sm3:lr=0.1").make([weight])
    rows, columns, by_hand = [0.0] * 2, [0.0] * 3, [[0.0] * 3 for _ in range(2)]
    for step in range(3):
        gradient = [[(-1.0) ** (i + step) * (1 + i + 2 * j + step) for j in range(3)] for i in range(2)]
        weight.grad = torch.tensor(gradient)
        made.step()
        bounds = [[min(rows[i], columns[j]) + gradient[i][j] ** 2 for j in range(3)] for i in range(2)]
        rows = [max(row) for row in bounds]
        columns = [max(bounds[i][j] for i in range(2)) for j in range(3)]
        for i in range(2):
            for j in range(3):
                by_hand[i][j] -= 0.1 * gradient[i][j] / math.sqrt(bounds[i][j])
    assert torch.allclose(weight.detach(), torch.tensor(by_hand), rtol=1e-5)


def test_shampoo_is_the_rule_by_eigenvectors() -> None:
    def root(matrix: torch.Tensor) -> torch.Tensor:
        values, vectors = torch.linalg.eigh(matrix)
        return vectors @ torch.diag(values**-0.25) @ vectors.T

    weight = torch.nn.Parameter(torch.zeros(3, 5))
    made = optimizer("shampoo:lr=0.1,epsilon=0.01").make([weight])
    left, right = 0.01 * torch.eye(3).double(), 0.01 * torch.eye(5).double()
    by_hand = torch.zeros(3, 5).double()
    for step in range(3):
        gradient = torch.randn(3, 5, generator=torch.Generator().manual_seed(step))
        weight.grad = gradient.clone()
        made.step()
        left += gradient.double() @ gradient.double().T
        right += gradient.double().T @ gradient.double()
        by_hand -= 0.1 * root(left) @ gradient.double() @ root(right)
    assert torch.allclose(weight.detach().double(), by_hand, rtol=1e-4, atol=1e-5)


def test_sam_steps_by_the_gradient_uphill() -> None:
    weight = torch.nn.Parameter(torch.tensor([3.0]))
    made = optimizer("sam:lr=0.1,momentum=0,rho=0.5").make([weight])

    def gradient() -> float:
        weight.grad = weight.detach() ** 3
        return 0.0

    gradient()
    made.step(gradient)
    assert weight.item() == pytest.approx(3.0 - 0.1 * 3.5**3)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("constant", [1, 1, 1, 1]),
        ("warmup:warmup=2", [0.5, 1, 1, 1]),
        ("cosine", [1, (1 + math.cos(math.pi / 4)) / 2, 0.5, (1 + math.cos(3 * math.pi / 4)) / 2]),
        ("cosine:warmup=2,floor=0.5", [0.5, 1, 1, 0.75]),
        ("constant:reference_batch=16", [2, 2, 2, 2]),
    ],
)
def test_schedules_are_their_formulas(text: str, wanted: list[float]) -> None:
    made = schedule(text)
    assert [made.factor(step, 4, 32) for step in range(4)] == pytest.approx(wanted)


def test_the_scaling_rule_counts_accumulated_batches() -> None:
    run = Training(
        Plan.of(
            "digits:batch=16,accumulate=4", schedule_text="constant:reference_batch=32", optimizer_text="sgd:lr=0.1"
        )
    )
    run._advance()
    assert run.optimizer.param_groups[0]["lr"] == pytest.approx(0.2)


@pytest.mark.parametrize("way", ["fp32", "int8:acc=24"])
@pytest.mark.parametrize("name", ["magnitude:density=0.1,every=5", "snip:density=0.1", "rigl:density=0.1,every=5"])
def test_masks_reach_their_density_and_the_product_sees_them(name: str, way: str) -> None:
    run = training(sparsity_text=name, arithmetic=way)
    for _ in steps_of(run, 40):
        for path in run.masks.layers:
            assert torch.all(run.masks.weight(path)[run.masks.mask(path) == 0] == 0)
    assert run.masks.density() == pytest.approx(0.1, abs=1e-3)
    run.judge()
    for layer in run.masks.layers.values():
        assert torch.equal(layer.weight, layer.weight_orig * layer.weight_mask)


def test_gradual_pruning_never_brings_a_weight_back() -> None:
    run = training(sparsity_text="magnitude:every=4")
    before, densities = 1.0, []
    for _ in steps_of(run, 30):
        densities.append(run.masks.density())
        assert densities[-1] <= before
        before = densities[-1]
    assert densities[0] < 1
    # Sparsity rises along the cubic ramp of 24 steps: step 12 is pruned to 13/24 of it.
    assert densities[12] == pytest.approx(1 - 0.8 * (1 - (1 - 13 / 24) ** 3), abs=1e-3)


def test_snip_keeps_the_largest_products_of_the_first_batch() -> None:
    fresh, run = training(sparsity_text="snip:density=0.3"), training(sparsity_text="snip:density=0.3")
    fresh._gradients()
    scores = torch.cat(
        [(fresh.masks.weight(p) * fresh.masks.weight(p).grad).abs().flatten() for p in fresh.masks.layers]
    )
    run._advance()
    kept = torch.cat([run.masks.mask(path).flatten() for path in run.masks.layers]).bool()
    assert scores[kept].min() >= scores[~kept].max()


def test_two_of_four_are_kept_behind_the_border_and_the_rate_begins_anew() -> None:
    run = training(sparsity_text="sparse24", schedule_text="cosine", optimizer_text="adam:lr=0.01", steps=20)
    rates = []
    for _ in steps_of(run, 20):
        rates.append(run.optimizer.param_groups[0]["lr"])
        if run.step == 10:
            assert run.masks.density() == 1.0
    for path in run.masks.layers:
        assert torch.all(run.masks.mask(path).reshape(-1, 4).sum(1) == 2)
    assert rates[10:] == rates[:10]
    assert next(iter(run.optimizer.state.values()))["step"] == 10


def test_of_four_the_larger_two_stay() -> None:
    given = torch.tensor([[1.0, -3.0, 2.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    assert larger_half(given).tolist() == [[False, True, True, False], [True, True, False, False]]


def test_rigl_moves_as_many_weights_as_it_says() -> None:
    weight = torch.tensor([4.0, 0.1, 3.0, 0.2, 0.0, 0.0, 0.0, 0.0])
    gradient = torch.tensor([9.0, 9.0, 9.0, 9.0, 1.0, 4.0, 2.0, 3.0])
    kept = torch.tensor([True] * 4 + [False] * 4)
    assert moved(weight, gradient, kept, 0.5).nonzero().flatten().tolist() == [0, 2, 5, 7]
    assert torch.equal(moved(weight, gradient, kept, 0.0), kept)


def test_rigl_s_pattern_moves_until_its_end() -> None:
    run = training(sparsity_text="rigl:every=5")
    patterns = [torch.cat([run.masks.mask(p).flatten() for p in run.masks.layers]) for _ in steps_of(run, 40)]
    moves = [n for n in range(1, 40) if not torch.equal(patterns[n], patterns[n - 1])]
    assert moves == [5, 10, 15, 20, 25]
    assert len({int(pattern.sum()) for pattern in patterns}) == 1


def test_lifting_the_masks_changes_no_output() -> None:
    run = training(sparsity_text="rigl")
    run._advance()
    x, _ = run.data.held_out.take(slice(0, 8))
    masked = run.model(x)
    with run.masks.lifted():
        assert torch.equal(run.model(x), masked)
    assert run.masks.density() == pytest.approx(0.1, abs=1e-3)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: optimizer("adamv"), "no optimizer 'adamv' - did you mean 'adam"),
        (lambda: schedule("cosin"), "no schedule 'cosin' - did you mean 'cosine'?"),
        (lambda: sparsity("rigle"), "no sparsity 'rigle' - did you mean 'rigl'?"),
        (lambda: optimizer("sgd:rate=1"), "sgd: no field 'rate'"),
    ],
)
def test_unknown_names_are_named_with_the_nearest(call: object, said: str) -> None:
    with pytest.raises(UsageError, match=said.replace("?", r"\?")):
        call()  # type: ignore[operator]


@pytest.mark.parametrize("text", ["adam:beta1=1", "adam:lr=-1", "adam:lr=nan"])
def test_values_out_of_range_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        optimizer(text)


def test_a_loss_scale_cannot_drop_the_second_gradient_of_a_step() -> None:
    with pytest.raises(UsageError, match="sam takes more than one gradient a step"):
        Plan.of("digits", optimizer_text="sam", loss_scale=16.0)


def test_every_choice_says_what_it_is() -> None:
    for known in (optimizers(), schedules(), sparsities()):
        assert all(kind.summary for kind in known.values())
