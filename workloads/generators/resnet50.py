"""ResNet-50."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from siloom.workloads.generator import size
from siloom.workloads.model_settings import NetworkGenerator
from siloom.workloads.network import Network
from siloom.workloads.resnet import resnet


@dataclass(frozen=True)
class Resnet50(NetworkGenerator):
    """ResNet-50 on ``batch`` images of ``image`` x ``image`` pixels."""

    name: ClassVar[str] = "resnet50"
    summary: ClassVar[str] = "ResNet-50, stride in the 3 x 3 convolutions: 53 convolutions, 25.6 M parameters"
    source: ClassVar[str] = "He et al., CVPR 2016, table 1, with the stride where the frameworks have it (v1.5)"
    kinds: ClassVar[tuple[str, ...]] = ("conv", "matmul", "elementwise", "reduce")

    image: int = size(224, "pixels a side")

    def network(self) -> tuple[Network, dict[str, Any]]:
        """Stages of 3, 4, 6 and 3 blocks."""
        return resnet(self.name, (3, 4, 6, 3), self.batch, self.image), {}
