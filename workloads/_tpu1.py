"""The six applications that TPU v1 was measured on, from what was published of them.

Their networks were not published; of each the number of layers, the number of weights and the batch
were (Jouppi et al., ISCA 2017, table 1, recalled). The shapes follow from these by one rule a kind of
network, chosen before any was run:

- MLPs and LSTMs: an application's weights are spread evenly over its fully connected layers, and each
  layer's over square matrices: of the size that was published, where one was (600 x 600 in LSTM1),
  else one matrix a layer. The LSTMs' vector layers come evenly between them, each the state update of
  an LSTM cell on as many elements as the layer before has outputs.
- CNN0: the policy network of AlphaGo (Silver et al. 2016: a first layer of 5 x 5 filters over 48
  planes of 19 x 19, then 3 x 3, a last 1 x 1 filter) with the 16 layers of CNN0; 19 x 19 x 8 images
  give the published 2888 uses a weight. Its number of filters is, of those that AlphaGo was tried
  with, the one whose weights come nearest to the published.
- CNN1: BN-Inception (Ioffe and Szegedy 2015), whose 13 pooling layers are CNN1's; it has 69 of the 72
  convolutions, and the three that are missing are not made up. The side of its input is the multiple
  of 32 (its strides) whose multiplies a weight come nearest to the published; the four fully connected
  layers are square and share what the convolutions leave of the weights.

All numbers are 8-bit, except that nothing was published of which layers used 16-bit activations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from typing import Any

from siloom.sim.ops import Conv, Elementwise, Item, MatMul, Operation, Reduce
from siloom.workloads.generator import size

SOURCE = "Jouppi et al., ISCA 2017, table 1 (recalled); shapes by the rule of siloom.workloads._tpu1"
FORMAT = "int8"

Built = tuple[tuple[Item, ...], dict[str, Any]]


@dataclass(frozen=True)
class Application:
    """What was published of one application; ``uses`` are multiplies for each weight and batch."""

    fc: int = 0
    vector: int = 0
    conv: int = 0
    pool: int = 0
    weights: float = 0.0
    batch: int = 1
    uses: int = 0
    matrix: int = 0
    """Side of its square matrices, 0 where it was not published."""


MLP0 = Application(fc=5, weights=20e6, batch=200, uses=200)
MLP1 = Application(fc=4, weights=5e6, batch=168, uses=168)
LSTM0 = Application(fc=24, vector=34, weights=52e6, batch=64, uses=64)
LSTM1 = Application(fc=37, vector=19, weights=34e6, batch=96, uses=96, matrix=600)
CNN0 = Application(conv=16, weights=8e6, batch=8, uses=2888)
CNN1 = Application(conv=72, pool=13, fc=4, weights=100e6, batch=32, uses=1750)


def batch_size(app: Application) -> Any:
    """The setting ``batch``; its default is the published one."""
    return size(app.batch, "inputs", high=2**20)


def fully_connected(app: Application, batch: int) -> Built:
    """An MLP or an LSTM: ``app.fc`` layers in a row, vector layers evenly between them."""
    side = app.matrix or round(sqrt(app.weights / app.fc))
    matrices = round(app.weights / side**2)
    operations: list[Operation] = []
    for layer in range(app.fc):
        several = _share(matrices, layer, app.fc)
        operations.append(MatMul(name=f"fc{layer}", m=batch, n=side, k=side, batch=several, format=FORMAT))
        for _ in range(_share(app.vector, layer, app.fc)):
            operations.append(_state_update(f"vector{_vectors(operations)}", batch * side))
    return _built(operations)


def _share(whole: int, place: int, places: int) -> int:
    """How much of ``whole`` falls to a place when it is dealt out evenly."""
    return (place + 1) * whole // places - place * whole // places


def _vectors(operations: list[Operation]) -> int:
    return sum(isinstance(op, Elementwise) for op in operations)


def _state_update(name: str, elements: int) -> Elementwise:
    """The state of an LSTM cell, c = f c + i g and h = o tanh(c): five operations on five operands, two kept.

    The gates' own functions are applied as the products leave the array.
    """
    return Elementwise(
        name=name, elements=elements, reads=5, writes=2, flops_each=5, function="lstm_state", format=FORMAT
    )


BOARD = 19
PLANES = 48
FILTERS = (128, 192, 256, 384)
"""Filters a layer that AlphaGo's policy network was tried with (Silver et al. 2016, methods)."""


def alphago(app: Application, batch: int) -> Built:
    """CNN0: ``app.conv`` convolutions on boards."""
    return _built(
        _alphago(min(FILTERS, key=lambda k: abs(_weights(_alphago(k, app.conv, 1)) - app.weights)), app.conv, batch)
    )


def _alphago(filters: int, layers: int, batch: int) -> list[Operation]:
    shapes = [(PLANES, 5, filters), *[(filters, 3, filters)] * (layers - 2), (filters, 1, 1)]
    return [_conv(f"conv{i}", BOARD, c, r, k, batch) for i, (c, r, k) in enumerate(shapes)]


MODULES: tuple[tuple[str, int, tuple[int, int, int, int, int, int]], ...] = (
    ("3a", 8, (64, 64, 64, 64, 96, 32)),
    ("3b", 8, (64, 64, 96, 64, 96, 64)),
    ("3c", 8, (0, 128, 160, 64, 96, 0)),
    ("4a", 16, (224, 64, 96, 96, 128, 128)),
    ("4b", 16, (192, 96, 128, 96, 128, 128)),
    ("4c", 16, (160, 128, 160, 128, 160, 128)),
    ("4d", 16, (96, 128, 192, 160, 192, 128)),
    ("4e", 16, (0, 128, 192, 192, 256, 0)),
    ("5a", 32, (352, 192, 320, 160, 224, 128)),
    ("5b", 32, (352, 192, 320, 192, 224, 128)),
)  # fmt: skip
"""BN-Inception's modules: name, by how much the input has shrunk, and filters of 1 x 1; 3 x 3 reduced
and full; twice 3 x 3 reduced and full; the pool's projection. Those without 1 x 1 and projection have
stride 2. Ioffe and Szegedy 2015, figure 5, as implemented for MXNet (filters of 4a-4d differ a little)."""

_SHRINKS = 32


def bn_inception(app: Application, batch: int) -> Built:
    """CNN1: BN-Inception at the published multiplies a weight, and ``app.fc`` square layers."""
    weights = _weights(_inception(_SHRINKS, 1))
    side = round(sqrt((app.weights - weights) / app.fc))

    def distance(image: int) -> float:
        multiplies = sum(op.multiplies for op in _inception(image, 1)) + app.fc * side**2
        return abs(app.batch * multiplies / app.weights - app.uses)

    image = min(range(_SHRINKS, 32 * _SHRINKS, _SHRINKS), key=distance)
    last = [MatMul(name=f"fc{i}", m=batch, n=side, k=side, format=FORMAT) for i in range(app.fc)]
    return _built([*_inception(image, batch), *last])


def _inception(image: int, batch: int) -> list[Operation]:
    """All layers below the fully connected ones, for an input of ``image`` x ``image`` x 3."""
    out: list[Operation] = [
        _conv("conv1", image, 3, 7, 64, batch, stride=2),
        _pool("pool1", image // 4, 64, batch, stride=2),
        _conv("conv2-reduce", image // 4, 64, 1, 64, batch),
        _conv("conv2", image // 4, 64, 3, 192, batch),
        _pool("pool2", image // 8, 192, batch, stride=2),
    ]
    channels = 192
    for name, shrunk, filters in MODULES:
        out += _module(name, image // shrunk, channels, filters, batch)
        one, _, three, _, five, projected = filters
        channels = one + three + five + (projected or channels)
    out.append(Reduce(name="pool", rows=batch * channels, length=(image // _SHRINKS) ** 2, format=FORMAT))
    return out


def _module(
    name: str, side: int, channels: int, filters: tuple[int, int, int, int, int, int], batch: int
) -> Iterator[Operation]:
    """One module: its branches one after the other."""
    one, three_in, three, five_in, five, projected = filters
    stride = 1 if projected else 2
    if one:
        yield _conv(f"{name}-1x1", side, channels, 1, one, batch)
    yield _conv(f"{name}-3x3-reduce", side, channels, 1, three_in, batch)
    yield _conv(f"{name}-3x3", side, three_in, 3, three, batch, stride=stride)
    yield _conv(f"{name}-double-reduce", side, channels, 1, five_in, batch)
    yield _conv(f"{name}-double-a", side, five_in, 3, five, batch)
    yield _conv(f"{name}-double-b", side, five, 3, five, batch, stride=stride)
    yield _pool(f"{name}-pool", side // stride, channels, batch, stride=stride)
    if projected:
        yield _conv(f"{name}-project", side, channels, 1, projected, batch)


def _conv(name: str, side: int, c: int, r: int, k: int, batch: int, *, stride: int = 1) -> Conv:
    return Conv(name=name, h=side, w=side, c=c, r=r, s=r, k=k, stride=stride, pad=r // 2, batch=batch, format=FORMAT)


def _pool(name: str, side: int, channels: int, batch: int, *, stride: int) -> Elementwise:
    """3 x 3 pooling to ``side`` x ``side``: eight operations an output; each input is read once."""
    return Elementwise(
        name=name,
        elements=batch * channels * side * side,
        reads=stride * stride,
        flops_each=8,
        function="pool",
        format=FORMAT,
    )


def _weights(operations: list[Operation]) -> int:
    """Weights of all matrices and filters."""
    return sum(
        op.r * op.s * op.c * op.k if isinstance(op, Conv) else op.n * op.k * op.batch if isinstance(op, MatMul) else 0
        for op in operations
    )


def _built(operations: list[Operation]) -> Built:
    """One item an operation, in order, and what to say of them."""
    return tuple(Item(op) for op in operations), {"weights": _weights(operations)}
