"""Sampled dense-dense products, on any matrix or mask file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from siloom.sim.ops import SDDMM, Item
from siloom.workloads.generator import OperationGenerator, file_path, input_file, size
from siloom.workloads.matrix_files import read_masks


@dataclass(frozen=True)
class Sddmm(OperationGenerator):
    """X[rows, k] Y[k, cols] at the positions of the file's matrix, or of each of its masks in turn."""

    name: ClassVar[str] = "sddmm"
    summary: ClassVar[str] = "dense X[rows, k] Y[k, cols] at the positions of a file (each mask of a kept file)"
    source: ClassVar[str] = "the file"
    kinds: ClassVar[tuple[str, ...]] = ("sddmm",)

    k: int = size(64, "inner")
    file: str = input_file()

    def build(self) -> tuple[tuple[Item, ...], dict[str, Any]]:
        """One operation for each mask."""
        masks, about = read_masks(file_path(self.name, "file", self.file))
        return tuple(Item(SDDMM(name=label, mask=mask, k=self.k)) for label, mask in masks), about
