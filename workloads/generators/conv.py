"""2-D convolutions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from siloom.sim.ops import Conv as ConvOperation
from siloom.sim.ops import Item
from siloom.workloads.generator import OperationGenerator, number_format, size


@dataclass(frozen=True)
class Conv(OperationGenerator):
    """An h x w input of c channels, k filters of r x s, NCHW."""

    name: ClassVar[str] = "conv"
    summary: ClassVar[str] = "2-D convolution: h x w input, c channels, r x s kernel, k filters"
    source: ClassVar[str] = "defaults: the 3 x 3 layers of ResNet's first stage"
    kinds: ClassVar[tuple[str, ...]] = ("conv",)

    h: int = size(56, "rows")
    w: int = size(56, "columns")
    c: int = size(64, "channels in")
    r: int = size(3, "kernel rows")
    s: int = size(3, "kernel columns")
    k: int = size(64, "channels out")
    stride: int = size(1, "elements")
    pad: int = size(1, "elements", low=0)
    groups: int = size(1, "groups")
    batch: int = size(1, "images")
    format: str = number_format()

    def build(self) -> tuple[tuple[Item, ...], dict[str, Any]]:
        """One operation."""
        return (Item(ConvOperation(**self.as_dict())),), {}  # type: ignore[arg-type]
