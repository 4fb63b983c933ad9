"""TPU v1's application LSTM1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from siloom.workloads import _tpu1
from siloom.workloads.generator import OperationGenerator


@dataclass(frozen=True)
class Tpu1Lstm1(OperationGenerator):
    """37 fully connected and 19 vector layers, 34 M weights in 600 x 600 matrices."""

    name: ClassVar[str] = "tpu1-lstm1"
    summary: ClassVar[str] = "TPU v1's LSTM1: 37 fully connected and 19 vector layers, 34 M weights, int8"
    source: ClassVar[str] = _tpu1.SOURCE
    kinds: ClassVar[tuple[str, ...]] = ("matmul", "elementwise")

    batch: int = _tpu1.batch_size(_tpu1.LSTM1)

    def build(self) -> _tpu1.Built:
        """One operation a layer, in order."""
        return _tpu1.fully_connected(_tpu1.LSTM1, self.batch)
