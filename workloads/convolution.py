"""The layers of convolutional networks: convolutions with their gradients, batch norm, pooling."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from siloom.sim.ops import Conv, Elementwise, MatMul, Operation, Reduce
from siloom.workloads.network import Formats


@dataclass(frozen=True)
class Convolution:
    """k filters of r x s over h x w x c, square stride and padding.

    Its gradients are stated as operations that do the same multiplies and no others:

    - 1 x 1 kernels: products, of which nothing is unfolded;
    - outputs as large as inputs: convolutions. dx slides the turned filters over dy; dw slides dy over
      x, with channels and images in each other's place;
    - others: the products that the convolution is lowered to. Their unfolded operand counts each
      input up to r s / stride^2 times, more bytes than an implicit lowering moves.
    """

    name: str
    h: int
    w: int
    c: int
    k: int
    r: int = 1
    s: int = 1
    stride: int = 1
    pad: int = 0
    groups: int = 1
    batch: int = 1
    bias: bool = False
    first: bool = False
    repeat: int = 1

    def _op(self, formats: Formats) -> Conv:
        return Conv(
            h=self.h,
            w=self.w,
            c=self.c,
            r=self.r,
            s=self.s,
            k=self.k,
            stride=self.stride,
            pad=self.pad,
            groups=self.groups,
            batch=self.batch,
            format=formats.compute,
        )

    @property
    def parameters(self) -> int:
        """Filters, and a bias a filter."""
        return self.k * self.r * self.s * (self.c // self.groups) + (self.k if self.bias else 0)

    def forward(self, formats: Formats, *, training: bool) -> Iterable[Operation]:
        """One convolution."""
        return (self._op(formats),)

    def backward(self, formats: Formats) -> Iterator[Operation]:
        """The gradients of filters, biases and input."""
        rows, cols = self._op(formats).out_hw
        slides = self.stride == 1 and self.r == self.s > 1 and (rows, cols) == (self.h, self.w)
        yield self._sliding_dw(formats, rows, cols) if slides else self._product_dw(formats, rows * cols)
        if self.bias:
            yield Reduce(name="db", rows=self.k, length=self.batch * rows * cols, format=formats.compute)
        if not self.first:
            yield self._sliding_dx(formats, rows, cols) if slides else self._product_dx(formats, rows * cols)

    def _sliding_dw(self, formats: Formats, rows: int, cols: int) -> Conv:
        return Conv(
            name="dw",
            h=self.h,
            w=self.w,
            c=self.batch * self.groups,
            r=rows,
            s=cols,
            k=self.k,
            pad=self.pad,
            groups=self.groups,
            batch=self.c // self.groups,
            format=formats.compute,
        )

    def _sliding_dx(self, formats: Formats, rows: int, cols: int) -> Conv:
        return Conv(
            name="dx",
            h=rows,
            w=cols,
            c=self.k,
            r=self.r,
            s=self.s,
            k=self.c,
            pad=self.pad,
            groups=self.groups,
            batch=self.batch,
            format=formats.compute,
        )

    def _product_dw(self, formats: Formats, outputs: int) -> MatMul:
        return MatMul(
            name="dw",
            m=self.r * self.s * (self.c // self.groups),
            n=self.k // self.groups,
            k=self.batch * outputs,
            batch=self.groups,
            format=formats.compute,
        )

    def _product_dx(self, formats: Formats, outputs: int) -> MatMul:
        return MatMul(
            name="dx",
            m=self.batch * outputs,
            n=self.r * self.s * (self.c // self.groups),
            k=self.k // self.groups,
            batch=self.groups,
            format=formats.compute,
        )


@dataclass(frozen=True)
class BatchNorm:
    """Normalisation of each channel over images and places (Ioffe and Szegedy 2015).

    At inference the running statistics make it a scale and a shift. In training the statistics take
    one pass and the use of them another, forward and backward.
    """

    name: str
    elements: int
    channels: int
    repeat: int = 1

    @property
    def parameters(self) -> int:
        """Scale and shift; running statistics are not trained."""
        return 2 * self.channels

    def forward(self, formats: Formats, *, training: bool) -> Iterable[Operation]:
        """Sums of x and of squared distances (4), then subtract, divide, scale, shift (4)."""
        reads, flops = (2, 8) if training else (1, 2)
        return (
            Elementwise(
                elements=self.elements, reads=reads, flops_each=flops, function="batchnorm", format=formats.compute
            ),
        )

    def backward(self, formats: Formats) -> Iterable[Operation]:
        """Sums of dy and dy xhat (5), which are the parameters' gradients too, then dx (2 + 5)."""
        return (
            Elementwise(
                name="dx",
                elements=self.elements,
                reads=4,
                flops_each=12,
                function="batchnorm_backward",
                format=formats.compute,
            ),
        )


@dataclass(frozen=True)
class MaxPool:
    """The largest of ``size`` x ``size`` elements at every ``stride``; ``outputs`` elements leave.

    Each input is read once. In training the place of the largest is kept, one number an output.
    """

    outputs: int
    size: int
    stride: int
    name: str = "pool"
    repeat: int = 1
    parameters: int = 0

    def forward(self, formats: Formats, *, training: bool) -> Iterable[Operation]:
        """size^2 - 1 comparisons an output."""
        return (
            Elementwise(
                elements=self.outputs,
                reads=self.stride**2,
                writes=2 if training else 1,
                flops_each=self.size**2 - 1,
                function="max_pool",
                format=formats.compute,
            ),
        )

    def backward(self, formats: Formats) -> Iterable[Operation]:
        """Gradient and place are read, all inputs' gradients written."""
        return (
            Elementwise(
                name="dx",
                elements=self.outputs,
                reads=2,
                writes=self.stride**2,
                function="max_pool_backward",
                format=formats.compute,
            ),
        )


@dataclass(frozen=True)
class GlobalAveragePool:
    """The mean over ``places`` of each of ``rows`` (images times channels)."""

    rows: int
    places: int
    name: str = "pool"
    repeat: int = 1
    parameters: int = 0

    def forward(self, formats: Formats, *, training: bool) -> Iterable[Operation]:
        """One sum a row."""
        return (Reduce(rows=self.rows, length=self.places, format=formats.compute),)

    def backward(self, formats: Formats) -> Iterable[Operation]:
        """One number a row is spread; reading it is not counted."""
        return (
            Elementwise(
                name="dx",
                elements=self.rows * self.places,
                reads=0,
                function="average_pool_backward",
                format=formats.compute,
            ),
        )
