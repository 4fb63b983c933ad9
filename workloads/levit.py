"""LeViT: a transformer that shrinks like a convolutional network (Graham et al., ICCV 2021).

Every linear layer is followed by batch norm and has no bias; keys are narrower than values; a
learned bias for each distance is added to the scores; between stages attention itself subsamples,
its queries being every second row and column.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from siloom.sim.errors import InputError
from siloom.sim.ops import Attention, Elementwise, MatMul, Operation, Reduce
from siloom.workloads.convolution import BatchNorm, Convolution, GlobalAveragePool
from siloom.workloads.layers import Activation, CrossEntropy, Fork, Linear, Residual
from siloom.workloads.network import Block, Formats, Layer, Network
from siloom.workloads.resnet import halved, norm_and_activation

KEY = 16
"""Elements of a key, in every stage of LeViT-128."""

VALUES, SUBSAMPLED_VALUES, DENSE = 2, 4, 2
"""Elements of a value in keys, within stages and between them; width of the dense layers in inputs'."""

_STEM = (16, 32, 64, 128)
_LEAST_IMAGE = 64


@dataclass(frozen=True)
class BiasedAttention:
    """softmax(q k^T / sqrt(key) + bias) v, as two batched products; queries may be fewer than keys.

    ``distances`` are the biases learned a head.
    """

    queries: int
    keys: int
    heads: int
    value: int
    batch: int
    distances: int
    name: str = "attention"
    repeat: int = 1

    @property
    def parameters(self) -> int:
        """One bias a head and distance."""
        return self.heads * self.distances

    def _product(self, formats: Formats, name: str, m: int, n: int, k: int) -> MatMul:
        return MatMul(name=name, m=m, n=n, k=k, batch=self.batch * self.heads, format=formats.compute)

    @property
    def _rows(self) -> int:
        return self.batch * self.heads * self.queries

    def _scores(self, formats: Formats, name: str, reads: int, flops: int, function: str, writes: int = 1) -> Operation:
        return Elementwise(
            name=name,
            elements=self._rows * self.keys,
            reads=reads,
            writes=writes,
            flops_each=flops,
            function=function,
            format=formats.compute,
        )

    def forward(self, formats: Formats, *, training: bool) -> Iterator[Operation]:
        """Scores, scaled and biased; softmax; values."""
        yield self._product(formats, "scores", self.queries, self.keys, KEY)
        yield self._scores(formats, "bias", 2, 2, "bias")
        yield Reduce(name="softmax", rows=self._rows, length=self.keys, function="softmax", format=formats.compute)
        yield self._product(formats, "values", self.queries, self.value, self.keys)

    def backward(self, formats: Formats) -> Iterable[Operation]:
        """Four products; the softmax's gradient p (dp - sum p dp), scaled; the biases' sums."""
        return (
            self._product(formats, "values.dx", self.queries, self.keys, self.value),
            self._product(formats, "values.dv", self.keys, self.value, self.queries),
            self._scores(formats, "softmax.dx", 2, Attention.SOFTMAX_GRADIENT + 1, "softmax_backward"),
            self._scores(formats, "bias.dw", 1, 1, "sum", writes=0),
            self._product(formats, "scores.dq", self.queries, KEY, self.keys),
            self._product(formats, "scores.dk", self.keys, KEY, self.queries),
        )


def levit(
    name: str,
    widths: tuple[int, ...],
    heads: tuple[int, ...],
    depths: tuple[int, ...],
    batch: int,
    image: int,
    classes: int = 1000,
) -> Network:
    """The network on square images, with its two classifiers (one was taught by another network).

    Raises:
        InputError: an image too small.
    """
    if image < _LEAST_IMAGE:
        raise InputError(f"{name}: image must be at least {_LEAST_IMAGE} pixels, got {image}")
    side = image
    stem: list[Layer] = []
    for number, channels in enumerate(_STEM, start=1):
        before = _STEM[number - 2] if number > 1 else 3
        stem.append(
            Convolution(
                f"conv{number}",
                h=side,
                w=side,
                c=before,
                k=channels,
                r=3,
                s=3,
                stride=2,
                pad=1,
                batch=batch,
                first=number == 1,
            )
        )
        side = halved(side)
        after = norm_and_activation(str(number), batch * side * side * channels, channels, "hardswish")
        stem += after if number < len(_STEM) else after[:1]
    blocks = [Block("stem", tuple(stem))]
    for number, (width, count, depth) in enumerate(zip(widths, heads, depths, strict=True), start=1):
        if number > 1:
            down = tuple(_subsampled(batch, side, widths[number - 2], width))
            side = halved(side)
            blocks.append(Block(f"shrink{number - 1}", (*down, *_dense(batch * side * side, width))))
        rows = batch * side * side
        layers = (*_attention(batch, side, width, count), *_dense(rows, width))
        blocks.append(Block(f"stage{number}", layers, depth, recomputable=True))
    width = widths[-1]
    head: list[Layer] = [GlobalAveragePool(batch * width, side * side), Fork(batch * width, 2)]
    head.append(BatchNorm("norm", batch * width, width, repeat=2))
    head.append(Linear("classes", batch, width, classes, repeat=2))
    return Network(name, (*blocks, Block("head", (*head, CrossEntropy(batch, classes, repeat=2)))))


def _linear(name: str, rows: int, inputs: int, outputs: int) -> tuple[Layer, ...]:
    return Linear(name, rows, inputs, outputs, bias=False), BatchNorm(f"{name}_norm", rows * outputs, outputs)


def _attention(batch: int, side: int, width: int, heads: int) -> Iterator[Layer]:
    seq, value = side * side, VALUES * KEY
    rows = batch * seq
    yield from _linear("qkv", rows, width, heads * (2 * KEY + value))
    yield BiasedAttention(seq, seq, heads, value, batch, distances=side * side)
    yield Activation(rows * heads * value, "hardswish", name="attention_activation")
    yield from _linear("attention_output", rows, heads * value, width)
    yield Residual(rows * width, "residual1")


def _subsampled(batch: int, side: int, width: int, leaving: int) -> Iterator[Layer]:
    """Attention from every second place to all; as many heads as the width has keys' lengths."""
    keys, queries = side * side, halved(side) ** 2
    heads, value = width // KEY, SUBSAMPLED_VALUES * KEY
    yield Fork(batch * keys * width, 2)
    yield from _linear("key_value", batch * keys, width, heads * (KEY + value))
    yield from _linear("query", batch * queries, width, heads * KEY)
    yield BiasedAttention(queries, keys, heads, value, batch, distances=side * side)
    yield Activation(batch * queries * heads * value, "hardswish", name="attention_activation")
    yield from _linear("attention_output", batch * queries, heads * value, leaving)


def _dense(rows: int, width: int) -> Iterator[Layer]:
    yield from _linear("dense_in", rows, width, DENSE * width)
    yield Activation(rows * DENSE * width, "hardswish")
    yield from _linear("dense_out", rows, DENSE * width, width)
    yield Residual(rows * width, "residual2")
