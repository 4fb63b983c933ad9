"""Convolutions in an arithmetic, lowered to matrix products.

Patches of the input are unfolded into rows, one for each pixel of the result, and meet the filters as columns, a
product for each group: so a sum runs over the channels of a group, then over the rows and columns of a filter. The
gradient of the input is the product of the gradient with the filters, folded back: where patches overlap, these sums
are added in float32, outside of the unit. The input is kept for the backward pass, and unfolded again: its patches
would take as many times its memory as a filter has places.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch.nn import functional

from siloom.sim.errors import InputError
from siloom.workloads.torch.frames import current
from siloom.workloads.torch.matrix import through
from siloom.workloads.torch.ways import Ways

Sizes = int | tuple[int, ...]


class _Lowering(NamedTuple):
    """Of images to rows of patches: height and width of filters, stride, dilation, and groups of channels."""

    size: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    def pixels(self, x: torch.Tensor) -> tuple[int, int]:
        """Height and width of the result."""
        tall, wide = (
            (x.shape[2 + a] - self.dilation[a] * (self.size[a] - 1) - 1) // self.stride[a] + 1 for a in (0, 1)
        )
        return tall, wide

    def rows(self, x: torch.Tensor) -> torch.Tensor:
        """Images (batch, channels, height, width) as rows (groups, batch * pixels, channels of a group * places)."""
        patches = functional.unfold(x, self.size, dilation=self.dilation, stride=self.stride)
        return self._grouped(patches)

    def outputs(self, images: torch.Tensor) -> torch.Tensor:
        """Results (batch, channels, height, width) as rows (groups, batch * pixels, channels of a group)."""
        return self._grouped(images.flatten(2))

    def folded(self, rows: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Rows of patches back to images of the shape of ``x``, added where they overlap."""
        patches = self.images(rows, len(x), math.prod(self.pixels(x)))
        return functional.fold(patches, x.shape[2:], self.size, dilation=self.dilation, stride=self.stride)

    def images(self, rows: torch.Tensor, batch: int, pixels: int) -> torch.Tensor:
        """Rows (groups, batch * pixels, n) back to (batch, groups * n, pixels)."""
        parts = rows.view(self.groups, batch, pixels, rows.shape[2]).permute(1, 0, 3, 2)
        return parts.reshape(batch, self.groups * rows.shape[2], pixels)

    def _grouped(self, x: torch.Tensor) -> torch.Tensor:
        batch, channels, pixels = x.shape
        parts = x.reshape(batch, self.groups, channels // self.groups, pixels).permute(1, 0, 3, 2)
        return parts.reshape(self.groups, batch * pixels, channels // self.groups)


class _Convolution(torch.autograd.Function):
    """Images, padded, and filters (channels out, channels of a group, height, width)."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, lowering: _Lowering, ways: Ways, place: str
    ) -> torch.Tensor:
        """The result (batch, channels out, height, width)."""
        ctx.save_for_backward(x, weight)
        ctx.lowering, ctx.ways, ctx.place = lowering, ways, place
        tall, wide = lowering.pixels(x)
        y = through(ways, "forward", lowering.rows(x), _filters(weight, lowering.groups).mT, place)
        return lowering.images(y, len(x), tall * wide).view(len(x), len(weight), tall, wide)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of images and filters."""
        x, weight = ctx.saved_tensors
        lowering, ways, place = ctx.lowering, ctx.ways, ctx.place
        grad = lowering.outputs(gradients[0])
        to_x = to_weight = None
        if ctx.needs_input_grad[0]:
            rows = through(ways, "grad_input", grad, _filters(weight, lowering.groups), place)
            to_x = lowering.folded(rows, x)
        if ctx.needs_input_grad[1]:
            to_weight = through(ways, "grad_weight", grad.mT, lowering.rows(x), place).view(weight.shape)
        return to_x, to_weight, None, None, None


def _filters(weight: torch.Tensor, groups: int) -> torch.Tensor:
    """Filters as (groups, channels out of a group, channels in of a group * places)."""
    return weight.reshape(groups, weight.shape[0] // groups, math.prod(weight.shape[1:]))


def conv2d(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> torch.Tensor:
    """As torch's: input (batch, channels, rows, columns), or without the batch.

    Raises:
        InputError: what torch refuses too: steps of none, padding below zero, strides with padding ``same``.
    """
    x = input if input.dim() == 4 else input[None]
    steps, spread, size = _two(stride), _two(dilation), (weight.shape[2], weight.shape[3])
    frame, around = current(), _around(padding, size, spread)
    if min(steps) < 1 or min(around) < 0 or (padding == "same" and max(steps) > 1):
        rule = "stride must be at least 1, and 1 where padding is 'same', padding at least 0"
        raise InputError(f"layer {frame.place}: {rule}, got stride {stride} and padding {padding!r}")
    x = functional.pad(x, around)
    made: torch.Tensor = _Convolution.apply(  # type: ignore[no-untyped-call]
        x, weight, _Lowering(size, steps, spread, groups), frame.conversion.ways, frame.place
    )
    if bias is not None:
        made = made + bias[:, None, None]
    return made if input.dim() == 4 else made[0]


def conv1d(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> torch.Tensor:
    """As torch's: input (batch, channels, columns), or without the batch; one row high."""
    along = padding if isinstance(padding, str) else (0, _one(padding))
    made = conv2d(
        input.unsqueeze(-2), weight.unsqueeze(-2), bias, (1, _one(stride)), along, (1, _one(dilation)), groups
    )
    return made.squeeze(-2)


def _one(size: Sizes) -> int:
    return size if isinstance(size, int) else size[0]


def _two(size: Sizes) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    return (size[0], size[0]) if len(size) == 1 else (size[0], size[1])


def _around(padding: Sizes | str, size: tuple[int, int], spread: tuple[int, int]) -> tuple[int, int, int, int]:
    """Zeros left, right, above and below; of an odd number for ``same`` one more behind, as torch has it."""
    if padding == "valid":
        return 0, 0, 0, 0
    if padding == "same":
        down, along = (spread[a] * (size[a] - 1) for a in (0, 1))
        return along // 2, along - along // 2, down // 2, down - down // 2
    assert not isinstance(padding, str)
    down, along = _two(padding)
    return along, along, down, down
