"""TPU v1's application CNN0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from siloom.workloads import _tpu1
from siloom.workloads.generator import OperationGenerator


@dataclass(frozen=True)
class Tpu1Cnn0(OperationGenerator):
    """16 convolutions on 19 x 19 boards, 8 M weights."""

    name: ClassVar[str] = "tpu1-cnn0"
    summary: ClassVar[str] = "TPU v1's CNN0: 16 convolutions on 19 x 19 boards, 8 M weights, int8"
    source: ClassVar[str] = _tpu1.SOURCE
    kinds: ClassVar[tuple[str, ...]] = ("conv",)

    batch: int = _tpu1.batch_size(_tpu1.CNN0)

    def build(self) -> _tpu1.Built:
        """One operation a layer, in order."""
        return _tpu1.alphago(_tpu1.CNN0, self.batch)
