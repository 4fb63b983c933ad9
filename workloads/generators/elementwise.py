"""Elementwise work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from siloom.sim.design import parameter
from siloom.sim.ops import Elementwise as ElementwiseOperation
from siloom.sim.ops import Item
from siloom.workloads.generator import OperationGenerator, number_format, size

FUNCTIONS = ("add", "mul", "copy", "relu", "gelu", "silu", "tanh", "exp")


@dataclass(frozen=True)
class Elementwise(OperationGenerator):
    """``elements`` times: ``reads`` numbers in, ``flops_each`` operations, ``writes`` numbers out."""

    name: ClassVar[str] = "elementwise"
    summary: ClassVar[str] = "a function of each element: reads in, operations, writes out"
    source: ClassVar[str] = "defaults: a residual sum of BERT-base (768 wide) on 384 tokens"
    kinds: ClassVar[tuple[str, ...]] = ("elementwise",)

    elements: int = size(384 * 768, "elements", high=2**62)
    reads: int = size(2, "numbers an element", low=0, high=2**16)
    writes: int = size(1, "numbers an element", low=0, high=2**16)
    flops_each: int = size(1, "operations an element", low=0, high=2**16)
    function: str = parameter("add", unit="", choices=FUNCTIONS, source="the label of the work", status="assumed")
    format: str = number_format()

    def build(self) -> tuple[tuple[Item, ...], dict[str, Any]]:
        """One operation."""
        return (Item(ElementwiseOperation(**self.as_dict())),), {}  # type: ignore[arg-type]
