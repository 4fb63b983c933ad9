"""Sparse times dense, on any matrix or mask file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from siloom.sim.ops import Item, SpMM
from siloom.workloads.generator import OperationGenerator, file_path, input_file, size
from siloom.workloads.matrix_files import read_masks


@dataclass(frozen=True)
class Spmm(OperationGenerator):
    """C[rows, n] = A B[cols, n], A the file's matrix or each of its masks in turn."""

    name: ClassVar[str] = "spmm"
    summary: ClassVar[str] = "sparse A of a file (each mask of a kept file) times a dense matrix n wide"
    source: ClassVar[str] = "the file"
    kinds: ClassVar[tuple[str, ...]] = ("spmm",)

    n: int = size(64, "columns")
    file: str = input_file()

    def build(self) -> tuple[tuple[Item, ...], dict[str, Any]]:
        """One operation for each mask."""
        masks, about = read_masks(file_path(self.name, "file", self.file))
        return tuple(Item(SpMM(name=label, a=mask, n=self.n)) for label, mask in masks), about
