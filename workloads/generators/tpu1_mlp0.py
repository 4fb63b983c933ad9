"""TPU v1's application MLP0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from siloom.workloads import _tpu1
from siloom.workloads.generator import OperationGenerator


@dataclass(frozen=True)
class Tpu1Mlp0(OperationGenerator):
    """5 fully connected layers, 20 M weights."""

    name: ClassVar[str] = "tpu1-mlp0"
    summary: ClassVar[str] = "TPU v1's MLP0: 5 fully connected layers, 20 M weights, int8"
    source: ClassVar[str] = _tpu1.SOURCE
    kinds: ClassVar[tuple[str, ...]] = ("matmul",)

    batch: int = _tpu1.batch_size(_tpu1.MLP0)

    def build(self) -> _tpu1.Built:
        """One operation a layer, in order."""
        return _tpu1.fully_connected(_tpu1.MLP0, self.batch)
