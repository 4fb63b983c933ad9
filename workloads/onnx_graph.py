"""What is left of an ONNX file once it has been read: nodes in order, and the shape of every tensor.

Plain values; nothing here or in what maps it to operations (:mod:`siloom.workloads.onnx_lower`) needs
the ``onnx`` package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

from siloom.sim.errors import InputError
from siloom.workloads.bounds import place

STANDARD_DOMAINS = ("", "ai.onnx")
"""Both names of the domain of ONNX's own operators."""

FLOATS: Mapping[int, str] = {
    1: "fp32", 10: "fp16", 11: "fp64", 16: "bf16", 17: "fp8", 18: "fp8", 19: "fp8", 20: "fp8", 24: "fp8",
}  # fmt: skip
"""Number format of each floating-point ``TensorProto.DataType``."""

WHOLE: Mapping[int, str] = {
    2: "int8", 3: "int8", 9: "int8", 21: "int4", 22: "int4", 4: "fp16", 5: "fp16", 6: "fp32", 12: "fp32",
    7: "fp64", 13: "fp64", 23: "int4",
}  # fmt: skip
"""Format of each other type: its own, or where there is none the one of the same width."""


@dataclass(frozen=True)
class Tensor:
    """Shape and ``TensorProto.DataType``; ``shape`` is None where it is not known."""

    shape: tuple[int, ...] | None
    type: int

    @property
    def elements(self) -> int:
        """Product of the dimensions; 0 where they are not known."""
        return prod(self.shape) if self.shape is not None else 0


@dataclass(frozen=True)
class Node:
    """One operator; an empty input name is an optional input that was left out."""

    name: str
    kind: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The operator's name, with its domain where that is not ONNX's."""
        return self.kind if self.domain in STANDARD_DOMAINS else f"{self.domain}.{self.kind}"


@dataclass(frozen=True)
class Graph:
    """A model's graph. ``static`` tensors follow from weights and sizes alone; ``opset`` is ONNX's version.

    ``dims`` are the free dimensions that settings or defaults gave, by their names; ``complaint`` is what
    the library first found wrong where a shape stayed open.
    """

    where: str
    nodes: tuple[Node, ...]
    tensors: Mapping[str, Tensor]
    static: frozenset[str]
    weights: tuple[Tensor, ...]
    opset: int
    dims: Mapping[str, int]
    complaint: str = ""

    def shape(self, node: Node, name: str) -> tuple[int, ...]:
        """Shape of one of the node's tensors.

        Raises:
            InputError: it is not known, with the node that leaves it open where there is one.
        """
        found = self.tensors.get(name)
        if found is None or found.shape is None:
            raise InputError(
                f"{self.where}: {place(node.name)} ({place(node.title)}): the shape of '{place(name)}' is not known"
                f"{self._reason(name)}"
            )
        return found.shape

    def _reason(self, name: str) -> str:
        """The first node on the way to ``name`` whose inputs have shapes and whose output has none."""
        makers = {output: node for node in self.nodes for output in node.outputs if output}
        seen: set[str] = set()
        while name in makers and name not in seen:
            seen.add(name)
            maker = makers[name]
            behind = [i for i in maker.inputs if i in makers and self.tensors.get(i, Tensor(None, 0)).shape is None]
            if not behind:
                ours = any(f"op_type:{maker.kind}{end}" in self.complaint for end in ",)")
                why = f": {self.complaint}" if ours else ""
                return f": {place(maker.name)} ({place(maker.title)}) leaves it open{why}"
            name = behind[0]
        return ""
