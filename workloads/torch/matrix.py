"""A differentiable matrix product, its result and both gradients through the arithmetic of a unit."""

from __future__ import annotations

from typing import Any

import torch

from siloom.sim.arithmetic import Arithmetic, Direction
from siloom.workloads.torch.products import key_for, product
from siloom.workloads.torch.ways import Ways


class WeightProduct(torch.autograd.Function):
    """X (s, rows, in) times W' of W (s, out, in); its gradients are dY W and dY' X."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, ways: Ways, place: str) -> torch.Tensor:
        """Y (s, rows, out)."""
        ctx.save_for_backward(x, weight)
        ctx.ways, ctx.place = ways, place
        return through(ways, "forward", x, weight.mT, place)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """DX (s, rows, in) and dW (s, out, in)."""
        x, weight = ctx.saved_tensors
        grad, ways, place = gradients[0], ctx.ways, ctx.place
        to_x = to_weight = None
        if ctx.needs_input_grad[0]:
            to_x = through(ways, "grad_input", grad, weight, place)
        if ctx.needs_input_grad[1]:
            to_weight = through(ways, "grad_weight", grad.mT, x, place)
        return to_x, to_weight, None, None


def weight_product(x: torch.Tensor, weight: torch.Tensor, ways: Ways, place: str) -> torch.Tensor:
    """X (s, rows, in) times W' of W (s, out, in), with gradients."""
    made: torch.Tensor = WeightProduct.apply(x, weight, ways, place)  # type: ignore[no-untyped-call]
    return made


def through(ways: Ways, direction: Direction, a: torch.Tensor, b: torch.Tensor, place: str) -> torch.Tensor:
    """A (s, m, k) times B (s or 1, k, n) in a direction's arithmetic, without gradients."""
    way: Arithmetic = getattr(ways, direction)
    made: torch.Tensor = product(a, b, str(way), direction, place, key_for(way))
    return made
