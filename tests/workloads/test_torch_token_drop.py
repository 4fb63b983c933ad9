"""Token dropping: middle blocks see as many tokens as they say, in their order, and cost no more than those."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs siloom[train]")

from torch import nn  # noqa: E402

from siloom.sim.ops import Attention, MatMul, Workload  # noqa: E402
from siloom.workloads.torch.plan import Plan  # noqa: E402
from siloom.workloads.torch.recorded import recorded  # noqa: E402
from siloom.workloads.torch.techniques.token_drop import Thinned  # noqa: E402
from siloom.workloads.torch.training import Training  # noqa: E402

LM = "stdlib-lm:width=16,layers=4,heads=2,length=32,batch=3,judged_on=4"


def run(*techniques: str, recipe: str = LM, steps: int = 2, **choices: object) -> Training:
    return Training(Plan.of(recipe, steps=steps, technique_texts=techniques, **choices))  # type: ignore[arg-type]


class Ranks(nn.Module):
    """Adds to each token 1 more than to the one before."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.arange(1.0, x.shape[1] + 1)[:, None]


def multiplies(made: Workload, block: str) -> int:
    found = [i.op.multiplies * i.repeat for i in made.items if isinstance(i.op, MatMul) and i.op.name.startswith(block)]
    return sum(found)


@pytest.mark.parametrize(("keep", "count"), [(0.25, 2), (0.5, 4), (0.01, 1), (0.95, 8)])
def test_so_many_tokens_of_each_example_are_seen_in_their_order(keep: float, count: int) -> None:
    thinned = Thinned(Ranks(), 0, keep)
    torch.manual_seed(0)
    for row in thinned(torch.zeros(50, 8, 3)):
        assert torch.equal(row, row[:, :1].expand(-1, 3)), "all channels of a token go the same way"
        seen = row[:, 0][row[:, 0] > 0]
        assert seen.tolist() == list(range(1, count + 1))


def test_every_token_is_seen_as_often() -> None:
    torch.manual_seed(0)
    seen = (Thinned(Ranks(), 0, 0.25)(torch.zeros(8000, 8, 1)) > 0).float().mean(0).flatten()
    # Five standard deviations of a mean of 8,000 draws at probability 1/4.
    assert torch.allclose(seen, torch.full((8,), 0.25), rtol=0, atol=5 * (0.25 * 0.75 / 8000) ** 0.5)


def test_gradients_of_tokens_not_seen_pass_by_the_block() -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 8, 3, requires_grad=True)
    block = nn.Linear(3, 3, bias=False)
    y = Thinned(block, 0, 0.5)(x)
    y.sum().backward()
    changed = (y != x).any(-1)
    assert changed.sum(1).tolist() == [4] * 4
    assert x.grad is not None
    assert torch.equal(x.grad[~changed], torch.ones(16, 3))
    torch.testing.assert_close(x.grad[changed], block.weight.detach().sum(0).expand(16, 3))


def test_what_is_judged_is_the_whole_network() -> None:
    plain, thinned = run(), run("token-drop:keep=0.25")
    assert plain.judge() == thinned.judge()


def test_no_place_sees_a_later_one() -> None:
    model = run("token-drop").model.train()
    tokens = torch.randint(0, 96, (2, 32))
    made = []
    for last in (0, 1):
        torch.manual_seed(3)
        tokens[:, -1] = last
        made.append(model(tokens))
    assert torch.equal(made[0][:, :-1], made[1][:, :-1])
    assert not torch.equal(made[0][:, -1], made[1][:, -1])


@pytest.mark.parametrize("way", ["fp32", "int8:acc=24"])
def test_the_recording_s_attention_is_as_short_and_its_products_as_thin(way: str) -> None:
    plain, thinned = (recorded(run(*chosen, arithmetic=way)) for chosen in ((), ("token-drop:keep=0.25",)))
    lengths = [item.op.seq for item in thinned.items if isinstance(item.op, Attention) and item.op.direction == "fwd"]
    assert lengths == [32, 8, 8, 32]
    for block, share in ((0, 1), (1, 4), (2, 4), (3, 1)):
        assert multiplies(plain, f"blocks.{block}.") == share * multiplies(thinned, f"blocks.{block}.") > 0


def test_the_share_of_tokens_is_reported() -> None:
    training = run("token-drop:keep=0.25", steps=3)
    training.run()
    assert {what: (done.done, done.whole) for what, done in training.history.done.items()} == {
        "tokens of block 1": (3 * 3 * 8, 3 * 3 * 32),
        "tokens of block 2": (3 * 3 * 8, 3 * 3 * 32),
    }


def test_activations_computed_again_see_the_same_tokens() -> None:
    made = []
    for recipe in (LM, f"{LM},remat=1"):
        training = run("token-drop", recipe=recipe, steps=4)
        training.run()
        made.append(training.model)
    for one, two in zip(made[0].parameters(), made[1].parameters(), strict=True):
        assert torch.equal(one, two)
