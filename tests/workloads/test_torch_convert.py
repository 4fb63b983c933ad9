"""A converted model computes, and learns, in the arithmetic it was given."""

from __future__ import annotations

import torch
from torch import nn

import siloom.torch as st


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 5))


def test_fp32_gives_torchs_outputs_and_gradients() -> None:
    model = network()
    made = st.convert(model, "fp32")
    x = torch.randn(7, 3, 12, generator=torch.Generator().manual_seed(1))
    for one in (model, made):
        one(x).square().sum().backward()
    assert torch.allclose(model(x), made(x), rtol=1e-6, atol=1e-7)
    for own, other in zip(model.parameters(), made.parameters(), strict=True):
        assert torch.allclose(own.grad, other.grad, rtol=1e-5, atol=1e-6)


def test_products_are_metered_by_layer_and_direction() -> None:
    made = st.convert(network(), "int8:acc=15")
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
