"""Reductions and normalisations of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from siloom.sim.design import parameter
from siloom.sim.ops import Item
from siloom.sim.ops import Reduce as ReduceOperation
from siloom.workloads.generator import OperationGenerator, number_format, size


@dataclass(frozen=True)
class Reduce(OperationGenerator):
    """``rows`` reductions over ``length`` elements each."""

    name: ClassVar[str] = "reduce"
    summary: ClassVar[str] = "each row's sum or maximum, softmax or normalisation"
    source: ClassVar[str] = "defaults: a layer norm of BERT-base (768 wide) on 384 tokens"
    kinds: ClassVar[tuple[str, ...]] = ("reduce",)

    rows: int = size(384, "rows")
    length: int = size(768, "elements a row")
    function: str = parameter(
        "layernorm",
        unit="",
        choices=tuple(ReduceOperation.FLOPS_EACH),
        source="chosen by the user",
        status="assumed",
    )
    format: str = number_format()

    def build(self) -> tuple[tuple[Item, ...], dict[str, Any]]:
        """One operation."""
        return (Item(ReduceOperation(**self.as_dict())),), {}  # type: ignore[arg-type]
