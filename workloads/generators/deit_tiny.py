"""DeiT-tiny."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from siloom.workloads.families import vit
from siloom.workloads.model_settings import ImageNetwork
from siloom.workloads.transformer import ImageModel


@dataclass(frozen=True)
class DeitTiny(ImageNetwork):
    """DeiT-tiny: 12 layers, 192 wide, 3 heads, 16-pixel patches, 5.7 M parameters."""

    name: ClassVar[str] = "deit-tiny"
    summary: ClassVar[str] = "DeiT-tiny: 12 layers, 192 wide, 3 heads, 16-pixel patches, 5.7 M parameters"
    source: ClassVar[str] = "Touvron et al., ICML 2021, table 1; without distillation token"
    model: ClassVar[ImageModel] = vit(layers=12, hidden=192, heads=3)
