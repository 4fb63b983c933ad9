"""TPU v1's application CNN1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from siloom.workloads import _tpu1
from siloom.workloads.generator import OperationGenerator


@dataclass(frozen=True)
class Tpu1Cnn1(OperationGenerator):
    """69 convolutions, 13 pooling and 4 fully connected layers, 100 M weights."""

    name: ClassVar[str] = "tpu1-cnn1"
    summary: ClassVar[str] = (
        "TPU v1's CNN1: 69 convolutions, 13 pooling and 4 fully connected layers, 100 M weights, int8"
    )
    source: ClassVar[str] = _tpu1.SOURCE
    kinds: ClassVar[tuple[str, ...]] = ("conv", "elementwise", "reduce", "matmul")

    batch: int = _tpu1.batch_size(_tpu1.CNN1)

    def build(self) -> _tpu1.Built:
        """One operation a layer, in order."""
        return _tpu1.bn_inception(_tpu1.CNN1, self.batch)
