"""MobileNetV2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from siloom.workloads.generator import size
from siloom.workloads.mobilenet import mobilenet_v2
from siloom.workloads.model_settings import NetworkGenerator
from siloom.workloads.network import Network


@dataclass(frozen=True)
class MobilenetV2(NetworkGenerator):
    """MobileNetV2 of width 1 on ``batch`` images of ``image`` x ``image`` pixels."""

    name: ClassVar[str] = "mobilenet-v2"
    summary: ClassVar[str] = "MobileNetV2, width 1: 52 convolutions, 17 of them depthwise, 3.5 M parameters"
    source: ClassVar[str] = "Sandler et al., CVPR 2018, table 2"
    kinds: ClassVar[tuple[str, ...]] = ("conv", "matmul", "elementwise", "reduce")

    image: int = size(224, "pixels a side")

    def network(self) -> tuple[Network, dict[str, Any]]:
        """The published stages."""
        return mobilenet_v2(self.name, self.batch, self.image), {}
