"""Is a recorded step complete, and are its operations those that torch ran?"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count  # noqa: E402

from siloom.sim.errors import InputError  # noqa: E402
from siloom.sim.ops import Attention, Conv, Elementwise, MatMul, Workload  # noqa: E402
from siloom.torch import record  # noqa: E402


class Cnn(nn.Module):
    """Strided, grouped, depthwise, one-sided and 1 x 1 convolutions; ``grouped`` leaves groups out where false."""

    def __init__(self, grouped: bool = True) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, padding=1, groups=4 if grouped else 1),
            nn.Conv2d(16, 16, (3, 1), padding=(1, 0), groups=16 if grouped else 1),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 8, 1),
            nn.ConvTranspose2d(8, 4, 2, stride=2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.RNN(12, 20)
        self.head = nn.Linear(20, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.cells(x)[0])


class Vit(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 16, 4, stride=4)
        self.norm = nn.LayerNorm(16)
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
        self.head = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        y = self.norm(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return self.head(F.gelu(x).mean(1))


class Block(nn.Module):
    """A LLaMA layer: RMS norms, causal attention without biases, gated units."""

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.RMSNorm(dim), nn.RMSNorm(dim)
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim, bias=False) for _ in range(4))
        self.gate, self.up = nn.Linear(dim, hidden, bias=False), nn.Linear(dim, hidden, bias=False)
        self.down = nn.Linear(hidden, dim, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm1(x)
        q, k, v = (p(y).unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in (self.q, self.k, self.v))
        x = x + self.o(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))
        y = self.norm2(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Decoder(nn.Module):
    def __init__(self, dim: int = 16, layers: int = 2, heads: int = 4, hidden: int = 24, words: int = 50) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, dim)
        self.blocks = nn.ModuleList(Block(dim, heads, hidden) for _ in range(layers))
        self.norm = nn.RMSNorm(dim)
        self.head = nn.Linear(dim, words, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class Crossed(nn.Module):
    """Attention of few queries to more keys; a dilated convolution along one axis."""

    def __init__(self) -> None:
        super().__init__()
        self.window = nn.Conv1d(16, 16, 3, padding=2, dilation=2)
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.window(x.mT).mT
        return self.attention(x[:, :3], y, y, need_weights=False)[0]


def encoder(dropout: float = 0.0) -> nn.Module:
    layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=dropout, batch_first=True)
    return nn.TransformerEncoder(layer, 2)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


@dataclass(frozen=True)
class Case:
    """How to make a model and an input of it, both from a fixed seed."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    words: int = 0

    def model(self) -> nn.Module:
        torch.manual_seed(0)
        return self.make()

    def input(self) -> torch.Tensor:
        generator = torch.Generator().manual_seed(1)
        if self.words:
            return torch.randint(0, self.words, self.shape, generator=generator)
        return torch.randn(self.shape, generator=generator)


CASES = {
    "mlp": Case(mlp, (16, 64)),
    "cnn": Case(lambda: Cnn(grouped=False), (4, 3, 16, 16)),
    "grouped cnn": Case(Cnn, (4, 3, 16, 16)),
    "encoder": Case(encoder, (2, 6, 16)),
    "encoder with dropout": Case(lambda: encoder(0.1), (2, 6, 16)),
    "rnn": Case(Recurrent, (5, 4, 12)),
    "vit": Case(Vit, (2, 1, 16, 16)),
    "decoder": Case(Decoder, (2, 7), 50),
    "crossed": Case(Crossed, (2, 8, 16)),
}


def train(x: torch.Tensor) -> Callable[[nn.Module], None]:
    """A step of AdamW on the mean square of the outputs."""

    def step(model: nn.Module) -> None:
        optimizer = torch.optim.AdamW(model.parameters())
        model(x).pow(2).mean().backward()
        optimizer.step()

    return step


class Counting(TorchDispatchMode):
    """Counts what is dispatched and does nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen[str(func)] += 1
        return func(*args, **(kwargs or {}))


def matrix_flops(workload: Workload) -> int:
    """Two for each multiply of every product; a causal mask leaves none out, as torch counts."""
    total = 0
    for item in workload.items:
        if isinstance(item.op, MatMul | Attention):
            total += 2 * item.op.dense_multiplies * item.repeat
        elif isinstance(item.op, Conv):
            total += 2 * item.op.multiplies * item.repeat
    return total


def torch_flops(step, model: nn.Module) -> int:
    """What torch's own counter says; torch's formulas for attention are given to the operations for the CPU too."""
    aten = torch.ops.aten
    own = {
        aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: sdpa_flop_count(q, k, v),
        aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda dy, q, k, v, *_, **__: (
            sdpa_backward_flop_count(dy, q, k, v)
        ),
    }
    with FlopCounterMode(display=False, custom_mapping=own) as counter:
        step(model)
    return counter.get_total_flops()


@pytest.mark.parametrize("name", CASES)
def test_every_dispatched_operation_is_recorded_free_or_absorbed_once(name: str) -> None:
    case = CASES[name]
    model, step, counting = case.model(), train(case.input()), Counting()
    same = copy.deepcopy(model)
    torch.manual_seed(2)
    with counting:
        step(same)
    torch.manual_seed(2)
    recorded = record(model, step)
    about = recorded.provenance["recording"]
    assert about["dispatched"] == dict(counting.seen)
    for one, other in zip(model.parameters(), same.parameters(), strict=True):
        assert torch.equal(one, other), "recording changes nothing"
    assert recorded.provenance["notes"] == [], "every operation of these has its own count"
    # What is neither free nor absorbed has one operation at least.
    left = Counter(about["dispatched"]) - Counter(about["free"]) - Counter(about["absorbed"])
    updates = [item for item in recorded.items if item.op.name.endswith(" optimizer")]
    assert len(recorded.items) - len(updates) >= sum(left.values())


@pytest.mark.parametrize("name", [name for name in CASES if name != "grouped cnn"])
def test_matrix_flops_are_those_of_torchs_own_counter(name: str) -> None:
    case = CASES[name]
    step = train(case.input())
    made = record(case.model(), step)
    assert matrix_flops(made) == torch_flops(step, case.model()) > 0


def test_grouped_convolutions_have_the_flops_of_their_formula() -> None:
    """Torch's counter forgets the groups in the gradient of the filters, which all else shows."""
    case = CASES["grouped cnn"]
    step = train(case.input())
    made, counted = record(case.model(), step), torch_flops(step, case.model())
    surplus, forward = 0, {}
    for item in made.items:
        if item.op.name in ("body.3 forward", "body.4 forward") and isinstance(item.op, Conv | MatMul):
            forward[item.op.name] = 2 * item.op.multiplies
    # 8 x 8 outputs of 4 images: 16 filters of 3 x 3 over 2 channels, and of 3 x 1 over one.
    assert forward == {"body.3 forward": 2 * 256 * 16 * 18, "body.4 forward": 2 * 256 * 16 * 3}
    for name, groups in (("body.3 forward", 4), ("body.4 forward", 16)):
        surplus += (groups - 1) * forward[name]
    assert matrix_flops(made) == counted - surplus


def test_operations_are_named_by_module_and_pass() -> None:
    case = CASES["mlp"]
    made = record(case.model(), train(case.input()))
    products = [item.op for item in made.items if isinstance(item.op, MatMul)]
    assert [(op.name, op.m, op.n, op.k) for op in products] == [
        ("0 forward", 16, 32, 64),
        ("2 forward", 16, 10, 32),
        ("2 backward", 16, 32, 10),
        ("2 backward", 10, 32, 16),
        ("0 backward", 32, 64, 16),
    ]
    updates = [item.op.name for item in made.items if item.op.name.endswith(" optimizer")]
    assert updates == ["0.weight optimizer", "0.bias optimizer", "2.weight optimizer", "2.bias optimizer"]
    activations = [item.op for item in made.items if item.op.name.startswith("1 ")]
    assert [(op.name, op.function, op.reads, op.writes) for op in activations] == [
        ("1 forward", "relu", 1, 1),
        ("1 backward", "threshold_backward", 2, 1),
    ]


def test_bytes_are_those_of_the_tensors() -> None:
    def step(model: nn.Module) -> None:
        table = torch.zeros(1000, 8)
        x = torch.ones(4, 6) + torch.ones(6)
        x.expand(5, 4, 6).clone()
        nn.functional.embedding(torch.tensor([1, 2, 3]), table)
        x.fill_(2.0)
        x.add_(1.0)

    ops = [item.op for item in record(nn.Identity(), step).items]
    found = [(op.function, op.read_bytes, op.write_bytes, op.flops) for op in ops if isinstance(op, Elementwise)]
    assert found == [
        ("zeros", 0, 32000, 0),
        ("ones", 0, 96, 0),
        ("ones", 0, 24, 0),
        ("add", 96 + 24, 96, 24),
        ("clone", 96, 480, 0),
        # Three rows and their indices, not the table.
        ("embedding", 3 * 32 + 3 * 8, 96, 0),
        ("fill", 0, 96, 0),
        ("add", 96, 96, 24),
    ]


class Checkpointed(nn.Module):
    def __init__(self, reentrant: bool | None) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)
        self.reentrant = reentrant

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.reentrant is None:
            return self.inner(x)
        return checkpoint(self.inner, x, use_reentrant=self.reentrant)

    def inner(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(torch.relu(self.a(x)))


@pytest.mark.parametrize(
    ("reentrant", "again"), [(None, []), (True, ["a forward", "b forward"]), (False, ["a forward"])]
)
def test_what_a_checkpoint_recomputes_is_forward_again(reentrant: bool | None, again: list[str]) -> None:
    """The newer way stops when the last activation that is needed is there."""
    x = torch.ones(4, 8, requires_grad=True)
    made = record(Checkpointed(reentrant), lambda model: model(x).sum().backward())
    names = [item.op.name for item in made.items if isinstance(item.op, MatMul)]
    assert names == ["a forward", "b forward", *again, *["b backward"] * 2, *["a backward"] * 2]


def test_accumulated_gradients_add_to_those_there() -> None:
    model, x = mlp(), torch.ones(16, 64)

    def twice(model: nn.Module) -> None:
        for _ in range(2):
            model(x).sum().backward()

    once = record(model, lambda model: model(x).sum().backward())
    model.zero_grad()
    made = record(model, twice)
    assert matrix_flops(made) == 2 * matrix_flops(once)
    added = [item.op for item in made.items if isinstance(item.op, Elementwise) and item.op.function == "add"]
    assert [op.elements for op in added] == [10, 320, 32, 2048]
    assert {op.reads for op in added} == {2}


def test_attention_carries_its_operands_with_its_scale() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, 5, 4, generator=generator) for _ in range(3))
    want = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.3)

    def step(model: nn.Module) -> None:
        nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.3)

    (op,) = (item.op for item in record(nn.Identity(), step).items)
    scores = op.q @ op.k.swapaxes(-1, -2) / math.sqrt(op.dim) + np.triu(np.full((5, 5), -np.inf), 1)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    assert (op.seq, op.heads, op.dim, op.batch, op.causal, op.direction) == (5, 3, 4, 2, True, "fwd")
    assert np.allclose(weights / weights.sum(-1, keepdims=True) @ op.v, want.numpy(), atol=1e-5)


def test_a_fused_lstm_has_the_products_of_its_cells() -> None:
    """Torch runs a whole layer as one operation here, which its counter of FLOPs does not know."""
    layer, x = nn.LSTM(12, 20), torch.ones(5, 4, 12, requires_grad=True)
    forward = matrix_flops(record(layer, lambda layer: layer(x)))
    both = matrix_flops(record(layer, lambda layer: layer(x)[0].sum().backward()))
    # Four gates from 12 inputs and 20 states, 5 steps of 4 sequences; the gradients of both operands behind that.
    assert forward == 2 * 5 * 4 * 80 * (12 + 20)
    assert both == 3 * forward


def test_operands_that_are_not_finite_are_told_with_their_layer() -> None:
    x = torch.full((1, 4, 16), torch.nan)
    rule = r"record: layers.0.self_attn forward: attention: q\[0, 0, 0, 0\] must be finite, got nan"
    with pytest.raises(InputError, match=rule):
        record(encoder(), lambda model: model(x).sum().backward())


def test_an_operation_without_a_count_is_named() -> None:
    made = record(nn.Identity(), lambda model: torch.special.bessel_j0(torch.ones(3)))
    assert made.provenance["notes"] == ["aten.special_bessel_j0.default: taken as one operation an element"]


@pytest.mark.parametrize("name", CASES)
def test_shapes_alone_give_the_same_operations(name: str) -> None:
    case = CASES[name]
    step = train(case.input())
    full = record(case.model(), step)
    shapes = record(case.model().to("meta"), step, shapes_only=True)

    def plain(workload: Workload) -> list[dict]:
        operands = {"q", "k", "v"} if any(isinstance(item.op, Attention) for item in workload.items) else set()
        return [
            {k: v for k, v in item.op.describe().items() if not (item.op.kind == "attention" and k in operands)}
            for item in workload.items
        ]

    assert plain(shapes) == plain(full)
    about = shapes.provenance["recording"]
    assert (about["operands"], full.provenance["recording"]["operands"]) == ("generated", "recorded")
    assert all(item.op.q is None for item in shapes.items if isinstance(item.op, Attention))


@pytest.mark.slow
def test_seven_billion_parameters_are_recorded_by_shapes() -> None:
    with torch.device("meta"):
        model = Decoder(dim=4096, layers=32, heads=32, hidden=11008, words=32000)
    made = record(model, train(torch.zeros(1, 2048, dtype=torch.int64)), shapes_only=True)
    about = made.provenance["recording"]
    assert about["parameters"] == 32 * (4 * 4096**2 + 3 * 4096 * 11008 + 2 * 4096) + 2 * 32000 * 4096 + 4096
    assert about["resident_bytes"] == 16 * about["parameters"], "weights, gradients and two states"
    # Two multiplies a weight and token forward, four backward, but for the embedding, which is looked up.
    weights = about["parameters"] - 32000 * 4096 - 65 * 4096
    products = sum(2 * item.op.multiplies for item in made.items if isinstance(item.op, MatMul))
    assert products == 6 * 2048 * weights


@pytest.mark.parametrize(
    ("masks", "step", "rule"),
    [
        ({}, lambda model: None, "record: the step dispatched no operation"),
        ({"9.weight": torch.ones(32, 64)}, lambda model: None, r"record: masks\['9.weight'\] must be of a parameter"),
        ({"0.weight": torch.ones(64, 32)}, lambda model: None, r"record: masks\['0.weight'\] must be of a parameter"),
    ],
)
def test_what_cannot_be_recorded_is_refused(masks, step, rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        record(mlp(), step, masks=masks)
