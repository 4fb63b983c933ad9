"""LeViT-128."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from siloom.workloads.generator import size
from siloom.workloads.levit import levit
from siloom.workloads.model_settings import NetworkGenerator
from siloom.workloads.network import Network


@dataclass(frozen=True)
class Levit128(NetworkGenerator):
    """LeViT-128 on ``batch`` images of ``image`` x ``image`` pixels."""

    name: ClassVar[str] = "levit-128"
    summary: ClassVar[str] = "LeViT-128: stages 128, 256 and 384 wide, 4, 8 and 12 heads, 9.2 M parameters"
    source: ClassVar[str] = "Graham et al., ICCV 2021, table 2; with the distillation head"
    kinds: ClassVar[tuple[str, ...]] = ("conv", "matmul", "elementwise", "reduce")

    image: int = size(224, "pixels a side")

    def network(self) -> tuple[Network, dict[str, Any]]:
        """Three stages of four blocks."""
        return levit(self.name, (128, 256, 384), (4, 8, 12), (4, 4, 4), self.batch, self.image), {}
