"""A converted model computes, and learns, in the arithmetic it was given."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st_

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import siloom.torch as st  # noqa: E402


def drawn(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 5))


class Calls(nn.Module):
    """Calls one function of torch's on its input and parameters."""

    def __init__(self, call, *shapes) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.call = call
        self.own = nn.ParameterList(nn.Parameter(torch.randn(s) * 0.5) for s in shapes)

    def forward(self, *x):
        return self.call(*x, *self.own)


class Attends(nn.Module):
    """A multi-head attention layer whose weights are looked at too."""

    def __init__(self, *, need_weights=True, cross=False, masks=None, **about) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.MultiheadAttention(12, 3, **about)
        self.need, self.cross, self.masks = need_weights, cross, masks or {}

    def forward(self, x, y=None, z=None):
        others = (y, z) if self.cross else (x, x)
        masks = {
            name: m.to(x.dtype) if isinstance(m, torch.Tensor) and m.is_floating_point() else m
            for name, m in self.masks.items()
        }
        out, weights = self.layer(x, *others, need_weights=self.need, **masks)
        return out if weights is None else out.sum() + (weights * torch.arange(weights.shape[-1])).square().sum()


def later(n: int) -> torch.Tensor:
    return nn.Transformer.generate_square_subsequent_mask(n)


PADDED = torch.tensor([[False] * 6, [False] * 4 + [True] * 2])

sdpa = F.scaled_dot_product_attention


class Doubles(nn.Linear):
    """A layer of the user's own, made of torch's."""

    def forward(self, x):
        return 2 * super().forward(x)


CASES = {
    "a subclass": (lambda: Doubles(12, 7), [(5, 12)]),
    "linear": (lambda: nn.Linear(12, 7), [(3, 4, 12)]),
    "linear without bias, of one vector": (lambda: nn.Linear(12, 7, bias=False), [(12,)]),
    "functional linear": (lambda: Calls(F.linear, (7, 12), (7,)), [(5, 12)]),
    "conv2d": (lambda: nn.Conv2d(4, 6, 3), [(2, 4, 9, 8)]),
    "conv2d without batch": (lambda: nn.Conv2d(4, 6, (3, 2), bias=False), [(4, 9, 8)]),
    "strided, padded": (lambda: nn.Conv2d(4, 6, (3, 5), stride=(2, 3), padding=(1, 2)), [(2, 4, 9, 11)]),
    "dilated": (lambda: nn.Conv2d(4, 6, 3, dilation=(2, 1), padding=2), [(2, 4, 9, 8)]),
    "same": (lambda: nn.Conv2d(4, 6, (4, 3), padding="same"), [(2, 4, 9, 8)]),
    "valid": (lambda: nn.Conv2d(4, 6, 3, padding="valid"), [(2, 4, 9, 8)]),
    "circular": (lambda: nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular"), [(2, 4, 9, 8)]),
    "grouped": (lambda: nn.Conv2d(4, 6, 3, groups=2), [(2, 4, 9, 8)]),
    "depthwise": (lambda: nn.Conv2d(4, 8, 3, groups=4, stride=2, padding=1), [(2, 4, 9, 8)]),
    "conv1d": (lambda: nn.Conv1d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2), [(2, 4, 17)]),
    "conv1d same": (lambda: nn.Conv1d(4, 6, 4, padding="same"), [(2, 4, 17)]),
    "attention": (lambda: Calls(sdpa), [(2, 3, 6, 5), (2, 3, 7, 5), (2, 3, 7, 4)]),
    "causal": (lambda: Calls(lambda q, k, v: sdpa(q, k, v, is_causal=True, scale=0.3)), [(2, 3, 6, 5)] * 3),
    "without heads": (lambda: Calls(sdpa), [(6, 5), (7, 5), (7, 5)]),
    "one axis before": (lambda: Calls(lambda q, k, v: sdpa(q, k, v, attn_mask=later(6))), [(3, 6, 5)] * 3),
    "three axes before": (
        lambda: Calls(lambda q, k, v: sdpa(q, k, v, attn_mask=(drawn(4, 1, 6, 7) > -1))),
        [(2, 4, 3, 6, 5), (2, 4, 3, 7, 5), (4, 3, 7, 5)],
    ),
    "a bool mask": (
        lambda: Calls(lambda q, k, v: sdpa(q, k, v, attn_mask=drawn(2, 1, 6, 6) > 0.5)), [(2, 3, 6, 5)] * 3,
    ),
    "a learnt bias": (
        lambda: Calls(lambda q, k, v, bias: sdpa(q, k, v, attn_mask=bias), (3, 6, 6)), [(2, 3, 6, 5)] * 3,
    ),
    "grouped queries": (
        lambda: Calls(lambda q, k, v: sdpa(q, k, v, enable_gqa=True, is_causal=True)),
        [(2, 6, 8, 5), (2, 2, 8, 5), (2, 2, 8, 5)],
    ),
    "multi-head": (lambda: Attends(), [(6, 2, 12)]),
    "multi-head, batch first": (lambda: Attends(batch_first=True, need_weights=False), [(2, 6, 12)]),
    "multi-head, one sequence": (lambda: Attends(), [(6, 12)]),
    "multi-head, no bias": (lambda: Attends(bias=False, batch_first=True), [(2, 6, 12)]),
    "multi-head, three inputs": (lambda: Attends(cross=True), [(6, 2, 12), (5, 2, 12), (5, 2, 12)]),
    "multi-head, unpacked": (
        lambda: Attends(cross=True, kdim=7, vdim=9, batch_first=True), [(2, 6, 12), (2, 5, 7), (2, 5, 9)],
    ),
    "multi-head, padded": (
        lambda: Attends(batch_first=True, masks={"key_padding_mask": PADDED, "attn_mask": later(6).isinf()}),
        [(2, 6, 12)],
    ),
    "multi-head, mask of each head": (
        lambda: Attends(batch_first=True, masks={"attn_mask": drawn(6, 6, 6)}), [(2, 6, 12)],
    ),
    "multi-head, causal": (
        lambda: Attends(batch_first=True, need_weights=False, masks={"attn_mask": later(6), "is_causal": True}),
        [(2, 6, 12)],
    ),
    "multi-head, keys added": (
        lambda: Attends(
            batch_first=True, add_bias_kv=True, add_zero_attn=True, masks={"key_padding_mask": PADDED.float() * -9},
        ),
        [(2, 6, 12)],
    ),
    "encoder": (
        lambda: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(12, 3, 20, dropout=0.0, batch_first=True), 2, enable_nested_tensor=False
        ),
        [(2, 6, 12)],
    ),
    "decoder": (
        lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(12, 3, 20, dropout=0.0), 1), [(6, 2, 12), (5, 2, 12)],
    ),
    "transformer": (
        lambda: nn.Transformer(12, 3, 1, 1, 20, dropout=0.0, norm_first=True, batch_first=True),
        [(2, 5, 12), (2, 6, 12)],
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*nested_tensor:UserWarning", "ignore:Using padding='same':UserWarning")
@pytest.mark.parametrize("name", CASES)
def test_fp32_gives_torchs_outputs_and_gradients(name) -> None:
    """Each tensor within 1e-6, as relative errors of the whole tensor, of torch's in double precision.

    A gradient that is zero but for rounding (of a bias in front of a softmax) is held against the largest one.
    """
    make, shapes = CASES[name]
    torch.manual_seed(3)
    agree(make(), shapes)


def agree(model: nn.Module, shapes) -> None:
    """As above, of one model."""
    inputs = [drawn(*shape, seed=at) for at, shape in enumerate(shapes)]
    found = gradients(st.convert(model, "fp32"), inputs)
    exact = gradients(copy.deepcopy(model).double(), [x.double() for x in inputs])
    assert found.keys() == exact.keys()
    # A gradient far below the largest is what is left of larger numbers: single precision rounds those (6e-8).
    floor = max(float(x.norm()) for x in exact.values()) * 1e-2
    for tensor in found:
        assert found[tensor].shape == exact[tensor].shape, tensor
        error = float((found[tensor].double() - exact[tensor]).norm())
        assert error <= 1e-6 * max(float(exact[tensor].norm()), floor), tensor


sizes = st_.integers(1, 4)


@settings(max_examples=40, deadline=None)
@given(st_.data())
def test_convolutions_of_any_shape_are_torchs(data) -> None:
    def pair(low, high):
        return data.draw(st_.tuples(st_.integers(low, high), st_.integers(low, high)))

    groups, kernel, dilation, padding = data.draw(sizes), pair(1, 4), pair(1, 3), pair(0, 3)
    torch.manual_seed(0)
    layer = nn.Conv2d(
        groups * data.draw(sizes),
        groups * data.draw(sizes),
        kernel,
        stride=pair(1, 3),
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=data.draw(st_.booleans()),
    )
    least = [max(1, dilation[a] * (kernel[a] - 1) + 1 - 2 * padding[a]) for a in (0, 1)]
    tall, wide = (least[a] + data.draw(st_.integers(0, 6)) for a in (0, 1))
    agree(layer, [(data.draw(sizes), layer.in_channels, tall, wide)])


@settings(max_examples=40, deadline=None)
@given(st_.data())
def test_attention_of_any_shape_is_torchs(data) -> None:
    batch, kv_heads, share, queries, keys, dim, wide = (data.draw(st_.integers(1, 5)) for _ in range(7))
    causal, masked = data.draw(st_.booleans()), data.draw(st_.booleans())
    scale = data.draw(st_.one_of(st_.none(), st_.floats(0.1, 2.0)))
    # Torch takes either a mask or causality; a first key that all may see leaves no row empty.
    mask = drawn(batch, 1, queries, keys, seed=7) > 0 if masked and not causal else None
    if mask is not None:
        mask[..., 0] = True
    model = Calls(lambda q, k, v: sdpa(q, k, v, attn_mask=mask, is_causal=causal, scale=scale, enable_gqa=True))
    heads = kv_heads * share
    agree(model, [(batch, heads, queries, dim), (batch, kv_heads, keys, dim), (batch, kv_heads, keys, wide)])


def gradients(model: nn.Module, inputs) -> dict[str, torch.Tensor]:
    leaves = [x.clone().requires_grad_() for x in inputs]
    out = model(*leaves)
    (out * torch.randn(out.shape, generator=torch.Generator().manual_seed(9))).sum().backward()
    found = {f"of parameter {name}": p.grad for name, p in model.named_parameters()}
    return {"output": out.detach()} | {f"of input {i}": x.grad for i, x in enumerate(leaves)} | found


def test_products_are_metered_by_layer_and_direction() -> None:
    made = st.convert(network(), "int8:acc=16")
    with st.metered() as meter:
        made(torch.ones(4, 12)).sum().backward()
    assert set(meter.counts) == {
        ("0", "forward"),
        ("2", "forward"),
        ("2", "grad_input"),
        ("2", "grad_weight"),
        ("0", "grad_weight"),
    }
    assert meter.counts["0", "forward"].sums == 4 * 16
    assert meter.counts["0", "forward"].saturated > 0
