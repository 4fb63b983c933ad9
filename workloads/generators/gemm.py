"""Dense matrix products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from siloom.sim.design import parameter
from siloom.sim.ops import Item, MatMul
from siloom.workloads.generator import OperationGenerator, number_format, size


@dataclass(frozen=True)
class Gemm(OperationGenerator):
    """C[m, n] = A[m, k] B[k, n], ``batch`` times."""

    name: ClassVar[str] = "gemm"
    summary: ClassVar[str] = "dense C[m, n] = A[m, k] B[k, n], batch times"
    source: ClassVar[str] = "defaults: a projection of BERT-base (768 wide) on 128 tokens"
    kinds: ClassVar[tuple[str, ...]] = ("matmul",)

    m: int = size(128, "rows")
    n: int = size(768, "columns")
    k: int = size(768, "inner")
    batch: int = size(1, "products")
    format: str = number_format()
    shared: bool = parameter(
        False, unit="", source="1: the B of all products is the same, as weights are", status="assumed"
    )
    sparse24: bool = parameter(False, unit="", source="1: B is pruned to 2 of 4 along k", status="assumed")

    def build(self) -> tuple[tuple[Item, ...], dict[str, Any]]:
        """One operation."""
        return (Item(MatMul(**self.as_dict())),), {}  # type: ignore[arg-type]
