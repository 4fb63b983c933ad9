"""The settings that all named networks share, and what becomes of them.

A file of ``generators/`` adds one network: a class with its published numbers, which inherits its
settings from :class:`TextNetwork` or :class:`ImageNetwork`.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from siloom.sim.design import parameter
from siloom.sim.errors import InputError
from siloom.sim.ops import Item, format_bytes
from siloom.workloads.generator import OperationGenerator, number_format, size
from siloom.workloads.network import Formats, Network, inference, training_step
from siloom.workloads.optimizer import OPTIMIZERS, resident_bytes
from siloom.workloads.transformer import ImageModel, TextModel, image_network, text_network

MASTER = "fp32"
"""The format of weights, optimizer state and loss in mixed precision (Micikevicius et al., ICLR 2018)."""

_WHOLE = ("int4", "int8")


def switch(default: bool, source: str) -> Any:
    """A setting that is 0 or 1."""
    return parameter(default, unit="", source=source, status="assumed")


def one_of(default: str, choices: tuple[str, ...], source: str) -> Any:
    """A setting that is one of a few words."""
    return parameter(default, unit="", choices=choices, source=source, status="assumed")


@dataclass(frozen=True)
class NetworkGenerator(OperationGenerator):
    """A network, run forward or trained for one step on ``batch`` samples."""

    batch: int = size(1, "samples")
    format: str = number_format()
    training: bool = switch(False, "1: a whole training step, else the forward pass")
    optimizer: str = one_of("adamw", OPTIMIZERS, "of a training step")
    precision: str = one_of(
        "mixed",
        ("mixed", "uniform"),
        f"of a training step: weights, state and loss in {MASTER}, or in format",
    )
    recompute: bool = switch(False, "1: a training step keeps the blocks' inputs only and runs each forward twice")

    @abstractmethod
    def network(self) -> tuple[Network, dict[str, Any]]:
        """The layers, and what else the provenance says; ``notes`` are lines for the reader.

        Raises:
            UsageError: a file that must be named is not.
            InputError: sizes that exclude each other, or a file that cannot be read.
        """

    def build(self) -> tuple[tuple[Item, ...], dict[str, Any]]:
        """The operations, the number of parameters, and the bytes that they and their state take."""
        network, about = self.network()
        said = {"parameters": network.parameters, **about}
        if not self.training:
            said["resident_bytes"] = format_bytes(self.format, network.parameters)
            return inference(network, Formats(self.format, self.format)), said
        if self.precision == "uniform" and self.format in _WHOLE:
            raise InputError(f"{network.name}: precision=uniform needs a format with a point, got {self.format}")
        formats = Formats(self.format, MASTER if self.precision == "mixed" else self.format)
        said["resident_bytes"] = resident_bytes(self.optimizer, network.parameters, formats.compute, formats.master)
        return training_step(network, formats, self.optimizer, recompute=self.recompute), said


@dataclass(frozen=True)
class TextNetwork(NetworkGenerator):
    """A transformer on ``batch`` sequences of ``seq`` tokens."""

    kinds: ClassVar[tuple[str, ...]] = ("matmul", "attention", "elementwise", "reduce")
    model: ClassVar[TextModel]

    seq: int = size(384, "tokens")
    head: bool = switch(False, "1: the vocabulary head on all tokens, and in training its loss")

    def network(self) -> tuple[Network, dict[str, Any]]:
        """The published model at these sizes."""
        network = text_network(self.name, self.model, self.batch, self.seq, head=self.head)
        return network, headless(self.head, self.training)


def headless(head: bool, training: bool) -> dict[str, Any]:
    """What to say of a training step without a head."""
    note = "head=0: the step has no loss and starts from the gradient of the last output"
    return {"notes": [note]} if training and not head else {}


@dataclass(frozen=True)
class ImageNetwork(NetworkGenerator):
    """A vision transformer on ``batch`` images of ``image`` x ``image`` pixels."""

    kinds: ClassVar[tuple[str, ...]] = ("conv", "matmul", "attention", "elementwise", "reduce")
    model: ClassVar[ImageModel]

    image: int = size(224, "pixels a side")

    def network(self) -> tuple[Network, dict[str, Any]]:
        """The published model at these sizes."""
        return image_network(self.name, self.model, self.batch, self.image), {}
