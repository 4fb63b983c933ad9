"""The product that a sparse matrix stands for."""

from __future__ import annotations

from typing import Any

from siloom.sim.ops import SpGEMM
from siloom.sim.sparse import Csr


def product(a: Csr, b: Csr | None = None) -> tuple[SpGEMM, dict[str, Any]]:
    """A B; without ``b`` A A, or A A^T where A is not square. Also what to say of it.

    Raises:
        InputError: A's columns differ from B's rows.
    """
    if b is not None:
        said, second = "A*B", b
    elif a.shape[0] == a.shape[1]:
        said, second = "A*A", a
    else:
        said, second = "A*A^T", a.transposed
    op = SpGEMM(a=a, b=second)
    operands = [("A", a)] if b is None else [("A", a), ("B", b)]
    notes = [note for name, matrix in operands for note in _notes(name, matrix)]
    return op, {"product": said, "notes": notes}


def _notes(name: str, matrix: Csr) -> list[str]:
    if matrix.nnz == 0:
        return [f"{name} is empty: {matrix.shape[0]} x {matrix.shape[1]} without entries"]
    zeros = matrix.nnz - int((matrix.data != 0).sum())
    return [f"{name} stores {zeros} entries of value zero; they count as entries"] if zeros else []
