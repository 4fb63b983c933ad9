"""Sparse attention under fixed masks: scores where a mask allows, then their product with V."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from siloom.sim.ops import SDDMM, Item, SpMM
from siloom.workloads.generator import OperationGenerator, file_path, input_file, size
from siloom.workloads.matrix_files import read_masks


@dataclass(frozen=True)
class Kept(OperationGenerator):
    """For each mask S = Q K^T at its positions (SDDMM, ``dim`` deep) and S V (SpMM, ``dim`` wide)."""

    name: ClassVar[str] = "kept"
    summary: ClassVar[str] = "masked attention: SDDMM and SpMM for each mask of a kept file, dim elements a head"
    source: ClassVar[str] = "dim=64: DeiT's and BERT's heads"
    kinds: ClassVar[tuple[str, ...]] = ("sddmm", "spmm")

    file: str = input_file()
    dim: int = size(64, "elements per head")

    def build(self) -> tuple[tuple[Item, ...], dict[str, Any]]:
        """Two operations for each mask, in the order in which they run."""
        masks, about = read_masks(file_path(self.name, "file", self.file))
        items: list[Item] = []
        for label, mask in masks:
            dot = f"{label}." if label else ""
            items.append(Item(SDDMM(name=f"{dot}sddmm", mask=mask, k=self.dim)))
            items.append(Item(SpMM(name=f"{dot}spmm", a=mask, n=self.dim)))
        return tuple(items), about
