"""Networks as layers, and their operations: a forward pass, or a whole training step.

A :class:`Network` is a row of blocks, each a row of layers run ``repeat`` times with different
weights. A layer knows three things: how many parameters it has, the operations of its forward pass
and those of its gradients. What is written here once for all networks is the order:

- inference is the forward pass;
- a training step is the forward pass, the gradients from the last layer to the first, and then the
  optimizer (:mod:`siloom.workloads.optimizer`).

Every operation reads its operands from memory and writes its result back, as eager execution does;
only biases are part of the product they follow. Dropout, gradient clipping and communication are
not modelled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from siloom.sim.errors import InputError
from siloom.sim.ops import Attention, Conv, Elementwise, Item, MatMul, Operation
from siloom.workloads.optimizer import optimizer_items


@dataclass(frozen=True)
class Formats:
    """Number formats of a run.

    ``compute`` holds activations, gradients and the weights that products read; ``master`` the
    weights that the optimizer changes, its state, and the loss. They differ in mixed precision.
    """

    compute: str
    master: str


class Layer(Protocol):
    """One layer. The network asks for its operations once; it sets their names and repeats.

    An operation's own name is what tells it from the layer's others: empty forward, ``dx``, ``dw``
    and ``db`` for the gradients of input, weights and biases.
    """

    @property
    def name(self) -> str:
        """What the layer is called within its block."""

    @property
    def repeat(self) -> int:
        """Layers of this shape, one after another or side by side."""

    @property
    def parameters(self) -> int:
        """Trained numbers of one such layer."""

    def forward(self, formats: Formats, *, training: bool) -> Iterable[Operation]:
        """What runs from input to output.

        Raises:
            InputError: sizes that an operation refuses.
        """

    def backward(self, formats: Formats) -> Iterable[Operation]:
        """What runs from the output's gradient to the gradients of input and parameters.

        Raises:
            InputError: as ``forward``.
        """


@dataclass(frozen=True)
class Block:
    """Layers that are run in order, ``repeat`` times; ``recomputable`` where its input alone is worth keeping."""

    name: str
    layers: tuple[Layer, ...]
    repeat: int = 1
    recomputable: bool = False

    @property
    def parameters(self) -> int:
        """Trained numbers of all repeats."""
        return self.repeat * sum(layer.repeat * layer.parameters for layer in self.layers)


@dataclass(frozen=True)
class Network:
    """Blocks in the order of the forward pass; ``name`` opens messages."""

    name: str
    blocks: tuple[Block, ...]

    @property
    def parameters(self) -> int:
        """Trained numbers, tied ones counted once."""
        return sum(block.parameters for block in self.blocks)


def inference(network: Network, formats: Formats) -> tuple[Item, ...]:
    """The forward pass.

    Raises:
        InputError: sizes that an operation refuses, with network and layer named.
    """
    return tuple(item for block in network.blocks for item in _forward(network, block, formats, training=False))


def training_step(network: Network, formats: Formats, optimizer: str, *, recompute: bool) -> tuple[Item, ...]:
    """Forward, gradients and the optimizer's update of every parameter.

    With ``recompute`` every recomputable block keeps its input alone and runs forward once more,
    just before its gradients (Chen et al. 2016).

    Raises:
        InputError: as :func:`inference`.
    """
    items: list[Item] = []
    for block in network.blocks:
        own = list(_forward(network, block, formats, training=True))
        # Of a block that is run again, what leaves it alone is kept.
        dropped = len(own) - 1 if recompute and block.recomputable else 0
        items += [replace(item, saved=at >= dropped) for at, item in enumerate(own)]
    for block in reversed(network.blocks):
        if recompute and block.recomputable:
            again = _forward(network, block, formats, training=True, prefix="recompute.")
            items += [replace(item, saved=True) for item in again]
        items += _backward(network, block, formats)
    items += optimizer_items(optimizer, network.parameters, formats.compute, formats.master)
    return tuple(items)


def _forward(network: Network, block: Block, formats: Formats, *, training: bool, prefix: str = "") -> Iterator[Item]:
    for layer in block.layers:
        yield from _items(network, block, layer, prefix, lambda one: one.forward(formats, training=training))


def _backward(network: Network, block: Block, formats: Formats) -> Iterator[Item]:
    for layer in reversed(block.layers):
        yield from _items(network, block, layer, "", lambda one: one.backward(formats))


_OF_PARAMETERS = ("dw", "db")
"""Gradients that wait for the optimizer."""


def _recalled(op: Operation) -> int:
    """Operands of a gradient that the forward pass made: inputs of products, of attention and of functions."""
    if isinstance(op, MatMul | Conv):
        return int(op.name == "dw")
    if isinstance(op, Attention):
        return int(op.direction == "bwd")
    if isinstance(op, Elementwise) and op.name == "dx" and op.function.endswith("_backward"):
        return min(op.reads, 2 if op.function.endswith("_gate_backward") else 1)
    return 0


def _items(
    network: Network, block: Block, layer: Layer, prefix: str, asked: Callable[[Layer], Iterable[Operation]]
) -> list[Item]:
    """A layer's operations under their full names, so that a refusal says which layer it is about."""
    where = ".".join(part for part in (block.name, layer.name) if part)
    try:
        return [
            Item(
                replace(op, name=prefix + (f"{where}.{op.name}" if op.name else where)),
                block.repeat * layer.repeat,
                saved=op.name in _OF_PARAMETERS,
                recalled=_recalled(op),
            )
            for op in asked(layer)
        ]
    except InputError as error:
        raise InputError(f"{network.name}: {where}: {error}") from None
