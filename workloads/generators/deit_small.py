"""DeiT-small."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from siloom.workloads.families import vit
from siloom.workloads.model_settings import ImageNetwork
from siloom.workloads.transformer import ImageModel


@dataclass(frozen=True)
class DeitSmall(ImageNetwork):
    """DeiT-small: 12 layers, 384 wide, 6 heads, 16-pixel patches, 22.1 M parameters."""

    name: ClassVar[str] = "deit-small"
    summary: ClassVar[str] = "DeiT-small: 12 layers, 384 wide, 6 heads, 16-pixel patches, 22.1 M parameters"
    source: ClassVar[str] = "Touvron et al., ICML 2021, table 1; without distillation token"
    model: ClassVar[ImageModel] = vit(layers=12, hidden=384, heads=6)
