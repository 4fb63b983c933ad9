"""TPU v1's application LSTM0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from siloom.workloads import _tpu1
from siloom.workloads.generator import OperationGenerator


@dataclass(frozen=True)
class Tpu1Lstm0(OperationGenerator):
    """24 fully connected and 34 vector layers, 52 M weights."""

    name: ClassVar[str] = "tpu1-lstm0"
    summary: ClassVar[str] = "TPU v1's LSTM0: 24 fully connected and 34 vector layers, 52 M weights, int8"
    source: ClassVar[str] = _tpu1.SOURCE
    kinds: ClassVar[tuple[str, ...]] = ("matmul", "elementwise")

    batch: int = _tpu1.batch_size(_tpu1.LSTM0)

    def build(self) -> _tpu1.Built:
        """One operation a layer, in order."""
        return _tpu1.fully_connected(_tpu1.LSTM0, self.batch)
