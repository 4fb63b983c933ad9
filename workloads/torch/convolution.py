"""Convolutions in an arithmetic, lowered to matrix products.

Patches of the input are unfolded into rows, one for each pixel of the result, and meet the filters as columns, a
product for each group: so a sum runs over the channels of a group, then over the rows and columns of a filter. The
gradient of the input is the product of the gradient with the filters, folded back: where patches overlap, these sums
are added in float32, outside of the unit.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from siloom.workloads.torch.frames import current
from siloom.workloads.torch.matrix import weight_product

Sizes = int | tuple[int, ...]


def conv2d(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> torch.Tensor:
    """As torch's: input (batch, channels, rows, columns), or without the batch."""
    x = input if input.dim() == 4 else input[None]
    steps, spread, size = _two(stride), _two(dilation), (weight.shape[2], weight.shape[3])
    x = functional.pad(x, _around(padding, size, spread))
    batch = x.shape[0]
    tall, wide = ((x.shape[2 + a] - spread[a] * (size[a] - 1) - 1) // steps[a] + 1 for a in (0, 1))
    patches = functional.unfold(x, size, dilation=spread, stride=steps)
    deep, many = weight.shape[1] * size[0] * size[1], weight.shape[0] // groups
    by_group = patches.view(batch, groups, deep, tall * wide).permute(1, 0, 3, 2)
    rows = by_group.reshape(groups, batch * tall * wide, deep)
    frame = current()
    y = weight_product(rows, weight.reshape(groups, many, deep), frame.conversion.ways, frame.place)
    made = y.view(groups, batch, tall * wide, many).permute(1, 0, 3, 2).reshape(batch, groups * many, tall, wide)
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
