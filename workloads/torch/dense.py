"""``torch.nn.functional.linear`` in an arithmetic."""

from __future__ import annotations

import math

import torch

from siloom.workloads.torch.frames import current
from siloom.workloads.torch.matrix import weight_product
from siloom.workloads.torch.ways import Ways


def linear(input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """As torch's, in the running module's arithmetic."""
    frame = current()
    return dense(input, weight, bias, frame.conversion.ways, frame.place)


def dense(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, ways: Ways, place: str) -> torch.Tensor:
    """X (..., in) times W' of W (out, in), or (in); the bias is added in float32, outside of the unit."""
    rows, columns = (math.prod(part.shape[:-1]) for part in (x, weight))
    y = weight_product(x.reshape(1, rows, x.shape[-1]), weight.reshape(1, columns, weight.shape[-1]), ways, place)
    if bias is not None:
        y = y + bias
    return y.reshape(*x.shape[:-1], *weight.shape[:-1])
