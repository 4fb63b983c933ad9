"""The layers that transformers are made of, and those that all networks share.

Each says what it reads and writes forward and backward, as :class:`~siloom.workloads.network.Layer`
asks. Operations an element are counted one for each add, multiply, divide, root, exponential, error
function and hyperbolic tangent, in the comments' order. Sizes: ``rows`` are tokens (batch times
sequence) or images.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from siloom.sim.ops import Attention, Elementwise, MatMul, Operation, Reduce
from siloom.workloads.network import Formats

NORM_BACKWARD: Mapping[str, tuple[int, int]] = {
    # dx: xhat = (x - mean) / s (2), dy g (1), its mean (1) and that of dy g xhat (2), then
    # (dy g - mean - xhat mean) / s (4); dw: xhat (2), dy xhat summed (2), dy summed (1).
    "layernorm": (10, 5),
    # dx: xhat (1), dy g (1), one mean (2), dx (3); dw: xhat (1), dy xhat summed (2).
    "rmsnorm": (7, 3),
}
"""Operations an element for the gradients of a normalisation's input and of its parameters."""

ACTIVATIONS: Mapping[str, tuple[int, int]] = {
    # max(x, 0); where x > 0: dy.
    "relu": (1, 1),
    # tanh; dy (1 - y^2).
    "tanh": (1, 3),
    # x s with s = 1 / (1 + exp(-x)): negate, exp, add, divide; s (4), s (1 + x (1 - s)) (4), dy (1).
    "silu": (4, 9),
    # x/2 (1 + erf(x / sqrt 2)): scale, erf, add, halve, multiply;
    # Phi (4), phi = c exp(-x^2 / 2) (4), x phi + Phi (2), dy (1).
    "gelu": (5, 11),
    # x/2 (1 + tanh(c (x + a x^3))): x^2, x^3, a, add, c, tanh, add, halve, multiply;
    # tanh as before (6), 1 + tanh, halved (2), 1 - tanh^2 (2), c (1 + 3 a x^2) (3), x/2, products, sum (4), dy (1).
    "gelu_tanh": (9, 18),
    # x min(max(x + 3, 0), 6) / 6: add, max, min, multiply, scale; x / 3 + 1/2 (2) between the bounds (2), dy (1).
    "hardswish": (5, 5),
    # min(max(x, 0), 6); between the bounds: dy.
    "relu6": (2, 2),
}
"""Operations an element, forward and backward."""


@dataclass(frozen=True)
class Linear:
    """y[rows, outputs] = x[rows, inputs] W + b; the bias is added as the product leaves.

    ``tied`` weights belong to another layer. ``first`` layers have no gradient of their input.
    """

    name: str
    rows: int
    inputs: int
    outputs: int
    bias: bool = True
    tied: bool = False
    first: bool = False
    repeat: int = 1

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return (0 if self.tied else self.inputs * self.outputs) + (self.outputs if self.bias else 0)

    def forward(self, formats: Formats, *, training: bool) -> Iterable[Operation]:
        """One product; all rows share the weights."""
        return (MatMul(m=self.rows, n=self.outputs, k=self.inputs, format=formats.compute, shared=True),)

    def backward(self, formats: Formats) -> Iterator[Operation]:
        """Of the weights x^T dy, of the biases the sum of dy, of the input dy W^T."""
        yield MatMul(name="dw", m=self.inputs, n=self.outputs, k=self.rows, format=formats.compute)
        if self.bias:
            yield Reduce(name="db", rows=self.outputs, length=self.rows, format=formats.compute)
        if not self.first:
            yield MatMul(name="dx", m=self.rows, n=self.inputs, k=self.outputs, format=formats.compute, shared=True)


@dataclass(frozen=True)
class SelfAttention:
    """softmax(q k^T / sqrt(dim)) v on projected q, k, v; the projections are layers of their own."""

    seq: int
    heads: int
    dim: int
    batch: int
    causal: bool = False
    kv_heads: int = 0
    name: str = "attention"
    repeat: int = 1
    parameters: int = 0

    def _pass(self, formats: Formats, direction: str, name: str = "") -> Attention:
        return Attention(
            name=name,
            seq=self.seq,
            heads=self.heads,
            dim=self.dim,
            batch=self.batch,
            causal=self.causal,
            direction=direction,
            format=formats.compute,
            kv_heads=0 if self.kv_heads == self.heads else self.kv_heads,
        )

    def forward(self, formats: Formats, *, training: bool) -> Iterable[Operation]:
        """One operation."""
        return (self._pass(formats, "fwd"),)

    def backward(self, formats: Formats) -> Iterable[Operation]:
        """One operation: the gradients of q, k and v."""
        return (self._pass(formats, "bwd", "dx"),)


@dataclass(frozen=True)
class Norm:
    """A normalisation over the last axis: ``layernorm`` (scale and shift) or ``rmsnorm`` (scale)."""

    name: str
    rows: int
    width: int
    function: str = "layernorm"
    repeat: int = 1

    @property
    def parameters(self) -> int:
        """Scale, and shift where there is one."""
        return self.width * (2 if self.function == "layernorm" else 1)

    def forward(self, formats: Formats, *, training: bool) -> Iterable[Operation]:
        """One pass; the row stays on chip between its sums and its use."""
        return (Reduce(rows=self.rows, length=self.width, function=self.function, format=formats.compute),)

    def backward(self, formats: Formats) -> Iterable[Operation]:
        """Two passes over x and dy: along rows for dx, along columns for the parameters."""
        elements = self.rows * self.width
        dx, dw = NORM_BACKWARD[self.function]
        function = f"{self.function}_backward"
        return (
            Elementwise(
                name="dx", elements=elements, reads=2, flops_each=dx, function=function, format=formats.compute
            ),
            Elementwise(
                name="dw",
                elements=elements,
                reads=2,
                writes=0,
                flops_each=dw,
                function=function,
                format=formats.compute,
            ),
        )


@dataclass(frozen=True)
class Activation:
    """A function of each element; backward reads its input and the output's gradient.

    ``gated`` multiplies the result by a second input, as SwiGLU does: one more number read forward;
    backward reads both inputs and the gradient and writes two gradients.
    """

    elements: int
    function: str
    gated: bool = False
    name: str = "activation"
    repeat: int = 1
    parameters: int = 0

    def forward(self, formats: Formats, *, training: bool) -> Iterable[Operation]:
        """One pass."""
        flops = ACTIVATIONS[self.function][0]
        if self.gated:
            return (self._pass(formats, reads=2, writes=1, flops=flops + 1),)
        return (self._pass(formats, reads=1, writes=1, flops=flops),)

    def backward(self, formats: Formats) -> Iterable[Operation]:
        """One pass."""
        flops = ACTIVATIONS[self.function][1]
        if self.gated:  # the gate's own value again, times dy for one input; dy times the other before the slope
            again = ACTIVATIONS[self.function][0]
            return (self._pass(formats, reads=3, writes=2, flops=flops + again + 2, name="dx"),)
        return (self._pass(formats, reads=2, writes=1, flops=flops, name="dx"),)

    def _pass(self, formats: Formats, *, reads: int, writes: int, flops: int, name: str = "") -> Elementwise:
        return Elementwise(
            name=name,
            elements=self.elements,
            reads=reads,
            writes=writes,
            flops_each=flops,
            function=self.function + ("_gate" if self.gated else "") + ("_backward" if name else ""),
            format=formats.compute,
        )


@dataclass(frozen=True)
class Residual:
    """y = x + f(x); backward the two gradients that meet at x are added."""

    elements: int
    name: str = "residual"
    repeat: int = 1
    parameters: int = 0

    def forward(self, formats: Formats, *, training: bool) -> Iterable[Operation]:
        """One add an element."""
        return (Elementwise(elements=self.elements, reads=2, function="add", format=formats.compute),)

    def backward(self, formats: Formats) -> Iterable[Operation]:
        """One add an element."""
        return (Elementwise(name="dx", elements=self.elements, reads=2, function="add", format=formats.compute),)


@dataclass(frozen=True)
class Fork:
    """One input of several layers: nothing forward; backward their gradients are added up."""

    elements: int
    branches: int
    name: str = "fork"
    repeat: int = 1
    parameters: int = 0

    def forward(self, formats: Formats, *, training: bool) -> Iterable[Operation]:
        """No operation."""
        return ()

    def backward(self, formats: Formats) -> Iterable[Operation]:
        """``branches`` - 1 adds an element."""
        return (
            Elementwise(
                name="dx",
                elements=self.elements,
                reads=self.branches,
                flops_each=self.branches - 1,
                function="add",
                format=formats.compute,
            ),
        )


@dataclass(frozen=True)
class Rotary:
    """Rotary positions on q and k (Su et al. 2021): pairs turned by angles that stay on chip."""

    elements: int
    name: str = "rotary"
    repeat: int = 1
    parameters: int = 0

    def forward(self, formats: Formats, *, training: bool) -> Iterable[Operation]:
        """Two multiplies and an add an element."""
        return (Elementwise(elements=self.elements, flops_each=3, function="rotary", format=formats.compute),)

    def backward(self, formats: Formats) -> Iterable[Operation]:
        """The turn back."""
        return (
            Elementwise(name="dx", elements=self.elements, flops_each=3, function="rotary", format=formats.compute),
        )


@dataclass(frozen=True)
class Embedding:
    """Rows looked up in tables of ``entries`` and added up; the indices are not counted.

    ``given`` says that one more term is not looked up: the patches of an image. ``tokens`` are learned
    rows that stand in the given term, a class token's, and cost nothing of their own.
    """

    rows: int
    width: int
    entries: tuple[int, ...]
    given: bool = False
    tokens: int = 0
    name: str = "embedding"
    repeat: int = 1

    @property
    def parameters(self) -> int:
        """All entries of all tables, and the tokens."""
        return (sum(self.entries) + self.tokens) * self.width

    def forward(self, formats: Formats, *, training: bool) -> Iterable[Operation]:
        """One number read of each term, the sum written."""
        terms = len(self.entries) + self.given
        return (
            Elementwise(
                elements=self.rows * self.width,
                reads=terms,
                flops_each=terms - 1,
                function="embedding",
                format=formats.compute,
            ),
        )

    def backward(self, formats: Formats) -> Iterable[Operation]:
        """The gradient is read once and added to a row of each table."""
        tables = len(self.entries)
        return (
            Elementwise(
                name="dw",
                elements=self.rows * self.width,
                reads=1 + tables,
                writes=tables,
                flops_each=tables,
                function="embedding_backward",
                format=formats.compute,
            ),
        )


@dataclass(frozen=True)
class CrossEntropy:
    """The loss over ``classes`` for each row; only training computes it, in the master format."""

    rows: int
    classes: int
    name: str = "loss"
    repeat: int = 1
    parameters: int = 0

    def forward(self, formats: Formats, *, training: bool) -> Iterable[Operation]:
        """The softmax of the logits; the logarithm of one element a row is not counted."""
        if not training:
            return ()
        return (Reduce(rows=self.rows, length=self.classes, function="softmax", format=formats.master),)

    def backward(self, formats: Formats) -> Iterable[Operation]:
        """Softmax minus the label, over the rows."""
        return (
            Elementwise(
                name="dx",
                elements=self.rows * self.classes,
                flops_each=2,
                function="cross_entropy",
                format=formats.master,
            ),
        )
