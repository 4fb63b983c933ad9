"""The product of two files' matrices, for lists of operations; ``A.mtx@B.mtx`` says the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from siloom.sim.ops import Item
from siloom.workloads.generator import OperationGenerator, file_path, input_file
from siloom.workloads.matrix_files import read_matrix
from siloom.workloads.product import product


@dataclass(frozen=True)
class Spgemm(OperationGenerator):
    """A B; without ``b`` A A, or A A^T where A is not square."""

    name: ClassVar[str] = "spgemm"
    summary: ClassVar[str] = "sparse product of a file's matrix with itself, its transpose or another file's"
    source: ClassVar[str] = "the files"
    kinds: ClassVar[tuple[str, ...]] = ("spgemm",)

    a: str = input_file()
    b: str = input_file(optional=True)

    def build(self) -> tuple[tuple[Item, ...], dict[str, Any]]:
        """One operation."""
        a, about = read_matrix(file_path(self.name, "a", self.a))
        if not self.b:
            op, said = product(a)
            return (Item(op),), {"a": about, **said}
        b, about_b = read_matrix(file_path(self.name, "b", self.b))
        op, said = product(a, b)
        return (Item(op),), {"a": about, "b": about_b, **said}
