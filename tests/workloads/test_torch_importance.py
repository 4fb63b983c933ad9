"""Importance sampling: the gradient is right in the mean, varies less, and the recording shows what scoring costs."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

torch = pytest.importorskip("torch", reason="needs siloom[train]")

from torch.nn import functional  # noqa: E402

from siloom.sim.errors import CheckFailedError, InputError  # noqa: E402
from siloom.sim.ops import MatMul, Workload  # noqa: E402
from siloom.workloads.torch.data import IGNORED, Split  # noqa: E402
from siloom.workloads.torch.plan import Plan  # noqa: E402
from siloom.workloads.torch.recorded import recorded  # noqa: E402
from siloom.workloads.torch.techniques.importance import gradient_norms  # noqa: E402
from siloom.workloads.torch.training import Training, train  # noqa: E402

RECALL = "mqar:examples=640,judged_on=50,length=16,pairs=2,vocabulary=32,width=8,batch={}"


def run(*techniques: str, recipe: str = "digits:batch=2", steps: int = 4, **choices: object) -> Training:
    return Training(Plan.of(recipe, steps=steps, technique_texts=techniques, **choices))  # type: ignore[arg-type]


def gradient(training: Training, loss: torch.Tensor) -> torch.Tensor:
    training.model.zero_grad()
    loss.backward()
    return torch.cat([w.grad.flatten() for w in training.model.parameters() if w.grad is not None]).double()


class Draw:
    """Stands for ``torch.multinomial``: gives the index that is told, and keeps the shares that it was asked with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.index = torch.tensor([0])
        self.shares = torch.empty(0)
        monkeypatch.setattr(torch, "multinomial", self)

    def __call__(self, shares: torch.Tensor, count: int, replacement: bool) -> torch.Tensor:
        assert (replacement, count) == (True, len(self.index))
        self.shares = shares
        return self.index


@pytest.mark.parametrize("score", ["gradient", "loss"])
@pytest.mark.parametrize("recipe", ["digits:batch={}", RECALL])
@pytest.mark.parametrize(("batch", "presample"), [(1, 6), (2, 2)])
def test_over_all_draws_the_gradient_is_that_of_all_examples(
    recipe: str, batch: int, presample: int, score: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = run(f"importance:score={score},presample={presample}", recipe=recipe.format(batch))
    plain = run(recipe=recipe.format(batch))
    ((inputs, targets),) = training.batches()
    if targets.dim() > 1:  # examples that are asked different numbers of times
        asked = (targets[0] != IGNORED).nonzero()[0]
        targets[0, asked] = IGNORED
    wanted = gradient(plain, plain.loss(inputs, targets))
    mean, mass = torch.zeros_like(wanted), 0.0
    drawn = Draw(monkeypatch)
    for index in itertools.product(range(batch * presample), repeat=batch):
        drawn.index = torch.tensor(index)
        found = gradient(training, training.loss(inputs, targets))
        probability = drawn.shares[drawn.index].double().prod().item()
        mean, mass = mean + probability * found, mass + probability
    assert mass == pytest.approx(1)
    assert (mean - wanted).norm() < 1e-5 * wanted.norm()


def test_the_gradient_varies_less_than_with_even_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one example drawn: sum of p |g / (N p)|^2, less what both have in common."""
    learned = train(Plan.of("digits", steps=400))
    training = run("importance:presample=40", recipe="digits:batch=1")
    training.model.load_state_dict(learned.model.state_dict())
    drawn = Draw(monkeypatch)
    ((inputs, targets),) = training.batches()
    by_importance, evenly = 0.0, 0.0
    for number in range(40):
        drawn.index = torch.tensor([number])
        found = gradient(training, training.loss(inputs, targets))
        share = drawn.shares[number].item()
        by_importance += share * found.norm().item() ** 2
        evenly += (share * 40 * found.norm().item()) ** 2 / 40
    assert by_importance < 0.2 * evenly


@pytest.mark.parametrize("shape", [(5,), (5, 7)])
def test_the_score_is_the_norm_of_the_outputs_gradient(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(*shape, 6, generator=generator, requires_grad=True)
    targets = torch.randint(0, 6, shape, generator=generator)
    targets[1] = IGNORED
    loss = functional.cross_entropy(outputs.flatten(0, -2), targets.flatten(), ignore_index=IGNORED, reduction="sum")
    (by_autograd,) = torch.autograd.grad(loss, outputs)
    wanted = by_autograd.flatten(1).square().sum(1).sqrt()
    assert wanted[1] == 0
    torch.testing.assert_close(gradient_norms(outputs.detach(), targets), wanted)


def test_examples_are_drawn_as_often_as_their_shares() -> None:
    training = run("importance:presample=4", recipe="digits:batch=2")
    ((inputs, targets),) = training.batches()
    with torch.no_grad():
        scores = gradient_norms(training.model(inputs), targets)
    seen = torch.zeros(8)
    forward = training.model.forward

    def count(x: torch.Tensor) -> torch.Tensor:
        if len(x) == 2:
            seen.add_((x[:, None] == inputs[None]).flatten(2).all(2).sum(0))
        return forward(x)

    training.model.forward = count  # type: ignore[method-assign]
    torch.manual_seed(0)
    for _ in range(1000):
        training.loss(inputs, targets)
    shares = scores / scores.sum()
    assert torch.allclose(seen / 2000, shares, rtol=0, atol=5 * (0.25 / 2000) ** 0.5)


def multiplies(made: Workload) -> int:
    return sum(item.op.multiplies * item.repeat for item in made.items if isinstance(item.op, MatMul))


@pytest.mark.parametrize("way", ["fp32", "int8:acc=24"])
def test_the_recording_has_the_forward_pass_that_scores(way: str) -> None:
    plain, drawn = (
        recorded(run(*chosen, recipe="digits:batch=16", arithmetic=way)) for chosen in ((), ("importance:presample=3",))
    )
    forward = 16 * (64 * 128 + 128 * 128 + 128 * 10)
    assert multiplies(drawn) == multiplies(plain) + 3 * forward


def test_every_example_of_an_epoch_is_looked_at_once() -> None:
    training = run("importance:presample=5", recipe="digits:batch=7")
    numbered = Split(torch.arange(1437.0), training.data.train.targets)
    training.data = dataclasses.replace(training.data, train=numbered)
    seen: list[float] = []
    for training.step in range(1437 // 35):
        ((numbers, _),) = training.batches()
        assert len(numbers) == 35
        seen += numbers.tolist()
    assert len(set(seen)) == len(seen) == 1437 // 35 * 35


def test_the_share_of_examples_is_reported() -> None:
    training = run("importance:presample=5", recipe="digits:batch=7,accumulate=2", steps=3)
    training.run()
    assert training.history.done == {"examples of those looked at": (3 * 2 * 7, 3 * 2 * 35)}


def test_a_batch_is_held_to_the_examples_it_is_drawn_from() -> None:
    with pytest.raises(InputError, match="digits: batch must be at most 479, the examples there are over 3, got 500"):
        run("importance", recipe="digits:batch=500")


def test_scores_that_are_no_numbers_name_the_layer() -> None:
    training = run("importance")
    with torch.no_grad():
        training.model.get_parameter("1.1.0.weight")[3, 4] = float("nan")
    with pytest.raises(CheckFailedError, match=r"at step 0: the loss is nan; layer '1\.1\.0' is the first"):
        training.run()


def test_a_network_that_is_sure_of_everything_draws_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    training = run("importance:score=loss,presample=4", recipe="digits:batch=1")
    ((inputs, targets),) = training.batches()
    drawn = Draw(monkeypatch)
    training.model.forward = lambda x: 1e4 * functional.one_hot(targets[: len(x)], 10).float()  # type: ignore[method-assign]
    training.loss(inputs, targets)
    assert drawn.shares.tolist() == [0.25] * 4


def test_digits_is_learned_by_importance() -> None:
    last = train(Plan.of("digits", technique_texts=["importance"], steps=500)).history.curve[-1]
    assert last.accuracy is not None
    assert last.accuracy >= 0.97
