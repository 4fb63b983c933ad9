"""The two interfaces of named workloads, and what their files in ``generators/`` share.

One file in ``generators/`` adds one named workload: a frozen dataclass of described settings that
implements one of the two interfaces and whose ``name`` is the file's (``-`` for ``_``). The registry
finds it by folder, checks settings against the fields and lists them; there is no list to edit.

- :class:`MatrixGenerator` draws one sparse matrix; the registry makes the product of it.
- :class:`OperationGenerator` makes the operations themselves.

Equal settings give equal bytes; all randomness comes from ``numpy.random.default_rng(seed)``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from siloom.sim.design import Design, parameter
from siloom.sim.errors import UsageError
from siloom.sim.ops import FORMAT_BITS, Item
from siloom.sim.sparse import Csr, Index
from siloom.workloads.bounds import FREE_DIMENSION, check_bytes, check_shape

FILE_UNIT = "file"
"""The unit of settings that name a file; a list of operations reads them from its own folder."""


@dataclass(frozen=True)
class MatrixGenerator(Design, ABC):
    """A named sparse matrix. ``summary`` is one line, ``source`` says where its form comes from."""

    name: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]

    @abstractmethod
    def matrix(self) -> Csr:
        """Draw the matrix.

        Raises:
            InputError: settings that exclude each other, or a matrix beyond the memory budget.
        """


@dataclass(frozen=True)
class OperationGenerator(Design, ABC):
    """A named list of operations; ``kinds`` names their types."""

    name: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]]

    @abstractmethod
    def build(self) -> tuple[tuple[Item, ...], dict[str, Any]]:
        """The operations, and what to say of the files they were read from.

        Raises:
            UsageError: a file that must be named is not.
            InputError: sizes that exclude each other, or a file that cannot be read.
        """


def size(default: int, unit: str, *, low: int = 1, high: int = 2**31 - 1) -> Any:
    """A size that is the user's to choose."""
    return parameter(default, unit=unit, low=low, high=high, source="chosen by the user", status="assumed")


def order(default: int) -> Any:
    """Rows and columns of a square matrix, as many as need no entries to back them."""
    return size(default, "rows", high=FREE_DIMENSION)


def seed() -> Any:
    """The seed of ``numpy.random.default_rng``."""
    return parameter(0, unit="", low=0, high=2**63 - 1, source="chosen by the user", status="assumed")


def number_format() -> Any:
    """The number format of dense operands."""
    return parameter("fp16", unit="", choices=tuple(FORMAT_BITS), source="chosen by the user", status="assumed")


def input_file(*, optional: bool = False) -> Any:
    """The name of a matrix or mask file."""
    source = "chosen by the user; may be left out" if optional else "chosen by the user"
    return parameter("", unit=FILE_UNIT, source=source, status="assumed")


def file_path(owner: str, field: str, value: str) -> Path:
    """The path a setting names.

    Raises:
        UsageError: the setting was left out.
    """
    if not value:
        raise UsageError(f"{owner}: {field}=PATH must be given")
    return Path(value)


def check_matrix(owner: str, rows: int, cols: int, entries: int, bytes_each: int = 64) -> None:
    """Refuse a matrix beyond the memory budget, at ``bytes_each`` an entry while it is drawn."""
    check_shape(owner, rows, cols, entries)
    check_bytes(owner, bytes_each * entries + 16 * (rows + cols), f"a matrix of {entries} entries")


def random_values(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """``count`` values in (0, 1]: never zero, so that structure and effective work agree."""
    return 1.0 - rng.random(count)


def distinct_positions(owner: str, rng: np.random.Generator, positions: int, count: int) -> Index:
    """``count`` distinct whole numbers below ``positions``, ascending.

    Drawn by ``rng.choice`` without replacement. It keeps only what it draws, unless more than one
    position in fifty is drawn; then it shuffles an array of all positions, for which the budget is
    asked.
    """
    if count > positions // 50:
        check_bytes(owner, 8 * positions, f"shuffling {positions} positions")
    drawn = rng.choice(positions, count, replace=False, shuffle=False)
    drawn.sort()
    return drawn.astype(np.int64, copy=False)


def csr_of_rows(shape: tuple[int, int], rows: Index, cols: Index, data: NDArray[np.float64]) -> Csr:
    """A matrix from distinct entries in the order of rows, then columns."""
    indptr = np.zeros(shape[0] + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=shape[0]), out=indptr[1:])
    return Csr(shape, indptr, cols, data)
