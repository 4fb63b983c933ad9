"""ResNets of bottleneck blocks (He et al., CVPR 2016), with the stride in the 3 x 3 convolution.

This is the variant of the common training frameworks ("v1.5"): 4.09 G multiplies at 224 x 224, where
the paper's own, with the stride in the first 1 x 1 convolution, has 3.8 G.
"""

from __future__ import annotations

from collections.abc import Iterator

from siloom.sim.errors import InputError
from siloom.workloads.convolution import BatchNorm, Convolution, GlobalAveragePool, MaxPool
from siloom.workloads.layers import Activation, CrossEntropy, Linear, Residual
from siloom.workloads.network import Block, Layer, Network

EXPANSION = 4
"""Channels that leave a bottleneck, in multiples of its width."""

_LEAST_IMAGE = 32
"""Below this side nothing would be left at the end: the network halves it five times."""


def resnet(name: str, stages: tuple[int, ...], batch: int, image: int, classes: int = 1000) -> Network:
    """The network on square images; ``stages`` are the blocks of each width 64, 128, 256 and 512.

    Raises:
        InputError: an image too small.
    """
    if image < _LEAST_IMAGE:
        raise InputError(f"{name}: image must be at least {_LEAST_IMAGE} pixels, got {image}")
    side = halved(image)
    stem = (
        Convolution("conv", h=image, w=image, c=3, k=64, r=7, s=7, stride=2, pad=3, batch=batch, first=True),
        *norm_and_activation("", batch * side * side * 64, 64, "relu"),
        MaxPool(batch * halved(side) ** 2 * 64, size=3, stride=2),
    )
    blocks = [Block("stem", stem)]
    side, channels = halved(side), 64
    for number, repeats in enumerate(stages):
        width = 64 << number
        stride = 1 if number == 0 else 2
        first = tuple(_bottleneck(batch, side, channels, width, stride))
        blocks.append(Block(f"stage{number + 1}.first", first, recomputable=True))
        side, channels = (halved(side) if stride == 2 else side), EXPANSION * width
        if repeats > 1:
            others = tuple(_bottleneck(batch, side, channels, width, 1))
            blocks.append(Block(f"stage{number + 1}", others, repeats - 1, recomputable=True))
    head = (
        GlobalAveragePool(batch * channels, side * side),
        Linear("classes", batch, channels, classes),
        CrossEntropy(batch, classes),
    )
    return Network(name, (*blocks, Block("head", head)))


def halved(side: int) -> int:
    """What a stride of 2 leaves of ``side`` where the padding is half the kernel: half, rounded up."""
    return (side + 1) // 2


def norm_and_activation(number: str, elements: int, channels: int, function: str) -> tuple[Layer, ...]:
    """What follows a convolution."""
    return (
        BatchNorm(f"norm{number}", elements, channels),
        Activation(elements, function, name=f"activation{number}"),
    )


def _bottleneck(batch: int, side: int, channels: int, width: int, stride: int) -> Iterator[Layer]:
    """1 x 1 down, 3 x 3, 1 x 1 up; a 1 x 1 on the way past where the shape changes."""
    out = halved(side) if stride == 2 else side
    places, leaving = batch * out * out, EXPANSION * width
    yield Convolution("conv1", h=side, w=side, c=channels, k=width, batch=batch)
    yield from norm_and_activation("1", batch * side * side * width, width, "relu")
    yield Convolution("conv2", h=side, w=side, c=width, k=width, r=3, s=3, stride=stride, pad=1, batch=batch)
    yield from norm_and_activation("2", places * width, width, "relu")
    yield Convolution("conv3", h=out, w=out, c=width, k=leaving, batch=batch)
    yield BatchNorm("norm3", places * leaving, leaving)
    if channels != leaving:
        yield Convolution("shortcut", h=side, w=side, c=channels, k=leaving, stride=stride, batch=batch)
        yield BatchNorm("shortcut_norm", places * leaving, leaving)
    yield Residual(places * leaving)
    yield Activation(places * leaving, "relu", name="activation3")
