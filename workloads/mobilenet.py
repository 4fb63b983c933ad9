"""MobileNetV2: inverted residuals with depthwise convolutions (Sandler et al., CVPR 2018, table 2)."""

from __future__ import annotations

from collections.abc import Iterator

from siloom.sim.errors import InputError
from siloom.workloads.convolution import BatchNorm, Convolution, GlobalAveragePool
from siloom.workloads.layers import CrossEntropy, Linear, Residual
from siloom.workloads.network import Block, Layer, Network
from siloom.workloads.resnet import halved, norm_and_activation

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels that leave, blocks, and the stride of the first."""

_LEAVING = 1280
_LEAST_IMAGE = 32


def mobilenet_v2(name: str, batch: int, image: int, classes: int = 1000) -> Network:
    """The network of width 1 on square images.

    Raises:
        InputError: an image too small.
    """
    if image < _LEAST_IMAGE:
        raise InputError(f"{name}: image must be at least {_LEAST_IMAGE} pixels, got {image}")
    side, channels = halved(image), 32
    conv = Convolution("conv", h=image, w=image, c=3, k=channels, r=3, s=3, stride=2, pad=1, batch=batch, first=True)
    blocks = [Block("stem", (conv, *norm_and_activation("", batch * side * side * channels, channels, "relu6")))]
    for number, (expansion, leaving, repeats, stride) in enumerate(STAGES, start=1):
        first = tuple(_inverted(batch, side, channels, expansion, leaving, stride))
        blocks.append(Block(f"stage{number}.first", first, recomputable=True))
        side, channels = (halved(side) if stride == 2 else side), leaving
        if repeats > 1:
            others = tuple(_inverted(batch, side, channels, expansion, leaving, 1))
            blocks.append(Block(f"stage{number}", others, repeats - 1, recomputable=True))
    head = (
        Convolution("conv", h=side, w=side, c=channels, k=_LEAVING, batch=batch),
        *norm_and_activation("", batch * side * side * _LEAVING, _LEAVING, "relu6"),
        GlobalAveragePool(batch * _LEAVING, side * side),
        Linear("classes", batch, _LEAVING, classes),
        CrossEntropy(batch, classes),
    )
    return Network(name, (*blocks, Block("head", head)))


def _inverted(batch: int, side: int, channels: int, expansion: int, leaving: int, stride: int) -> Iterator[Layer]:
    """1 x 1 up, 3 x 3 on each channel, 1 x 1 down without activation; a sum where the shape stays."""
    wide, out = expansion * channels, halved(side) if stride == 2 else side
    if expansion > 1:
        yield Convolution("expand", h=side, w=side, c=channels, k=wide, batch=batch)
        yield from norm_and_activation("1", batch * side * side * wide, wide, "relu6")
    yield Convolution(
        "depthwise", h=side, w=side, c=wide, k=wide, r=3, s=3, stride=stride, pad=1, groups=wide, batch=batch
    )
    yield from norm_and_activation("2", batch * out * out * wide, wide, "relu6")
    yield Convolution("project", h=out, w=out, c=wide, k=leaving, batch=batch)
    yield BatchNorm("norm3", batch * out * out * leaving, leaving)
    if stride == 1 and channels == leaving:
        yield Residual(batch * out * out * leaving)
