"""A dense layer whose three products go through the arithmetic of a unit."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from siloom.workloads.torch.products import product
from siloom.workloads.torch.ways import Ways


class LinearProduct(torch.autograd.Function):
    """X (rows, in) times W' (in, out); its gradients are dY W and dY' X."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, ways: Ways, place: str) -> torch.Tensor:
        """Y (rows, out)."""
        ctx.save_for_backward(x, weight)
        ctx.ways, ctx.place = ways, place
        y: torch.Tensor = product(x[None], weight.t()[None], ways.text("forward"), "forward", place, 0)[0]
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """DX (rows, in) and dW (out, in)."""
        x, weight = ctx.saved_tensors
        grad, ways, place = gradients[0], ctx.ways, ctx.place
        to_x = to_weight = None
        if ctx.needs_input_grad[0]:
            to_x = product(grad[None], weight[None], ways.text("grad_input"), "grad_input", place, 0)[0]
        if ctx.needs_input_grad[1]:
            to_weight = product(grad.t()[None], x[None], ways.text("grad_weight"), "grad_weight", place, 0)[0]
        return to_x, to_weight, None, None


class SiloomLinear(nn.Module):
    """``nn.Linear`` in an arithmetic; it shares the parameters of the layer that it replaces."""

    def __init__(self, layer: nn.Linear, ways: Ways, place: str) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        self.ways, self.place = ways, place

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Y of any leading axes; the bias is added in float32, outside of the unit."""
        rows = x.reshape(-1, x.shape[-1])
        y: torch.Tensor = LinearProduct.apply(rows, self.weight, self.ways, self.place)  # type: ignore[no-untyped-call]
        y = y if self.bias is None else y + self.bias
        return y.reshape(*x.shape[:-1], -1)
