"""DeiT-base."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from siloom.workloads.families import vit
from siloom.workloads.model_settings import ImageNetwork
from siloom.workloads.transformer import ImageModel


@dataclass(frozen=True)
class DeitBase(ImageNetwork):
    """DeiT-base: 12 layers, 768 wide, 12 heads, 16-pixel patches, 86.6 M parameters."""

    name: ClassVar[str] = "deit-base"
    summary: ClassVar[str] = "DeiT-base: 12 layers, 768 wide, 12 heads, 16-pixel patches, 86.6 M parameters"
    source: ClassVar[str] = "Touvron et al., ICML 2021, table 1; without distillation token"
    model: ClassVar[ImageModel] = vit(layers=12, hidden=768, heads=12)
