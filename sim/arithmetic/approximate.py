"""8-bit numbers whose products an approximate multiplier gives: one of three known ones, or any, from a table.

All else is as in ``int8``: codes, scale factors, rounding, and an accumulator that saturates or wraps at every step.

A file is a table of 128 x 128 whole numbers, for sizes of operands with the sign put on afterwards, or of 256 x 256, by
operands as bytes: row a, column b, from 0 to 127 and behind them from -128 to -1. Text with one row a line, numbers
between blanks or commas, or ``.npy``. Its codes of -128 are never used.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from siloom.sim.arithmetic import Singles
from siloom.sim.arithmetic.int8 import TOP, Int8
from siloom.sim.design import parameter
from siloom.sim.errors import InputError
from siloom.sim.units import approximate_products as known
from siloom.sim.units.int_gemm import Sums
from siloom.sim.units.table_gemm import table_gemm

_LARGEST = 1 << 30
_CHOICE = "free choice of the design"


@dataclass(frozen=True, kw_only=True)
class Approximate(Int8):
    """Operands of 8 bits whose products come from a table; see :mod:`siloom.sim.units.approximate_products`.

    ``kept`` is of ``drum`` alone, ``dropped`` of ``truncated``, ``table`` of ``file``.
    """

    name = "approximate"
    summary = "8-bit whole numbers through an approximate multiplier: mitchell, drum, truncated, or a table of yours"

    multiplier: str = parameter(
        "mitchell", unit="", source=_CHOICE, status="assumed", choices=("mitchell", "drum", "truncated", "file")
    )
    kept: int = parameter(4, unit="bit", source="Hashemi et al., ICCAD 2015", status="assumed", low=2, high=7)
    dropped: int = parameter(6, unit="columns", source=_CHOICE, status="assumed", low=0, high=12)
    table: str = parameter("none", unit="file", source=_CHOICE, status="assumed")

    def __post_init__(self) -> None:
        """Read the table."""
        super().__post_init__()
        if (self.multiplier == "file") != (self.table != "none"):
            raise InputError("approximate: multiplier=file goes with table=FILE, and neither without the other")
        self.products()

    def products(self) -> npt.NDArray[np.int32]:
        """What codes a and b give, at [a + 128, b + 128]."""
        if self.multiplier == "file":
            path = Path(self.table)
            try:
                about = path.stat()
            except OSError as error:
                raise InputError(f"approximate: table {path}: {error.strerror}") from None
            return _of_file(path, about.st_mtime_ns, about.st_size)
        return _of_known(self.multiplier, self.kept, self.dropped)

    @property
    def caution(self) -> str:
        """That a single product may be too large, where it may."""
        found = self.products()
        most, high = int(np.abs(found).max()), (1 << (self.acc - 1)) - 1
        return "" if most <= high else f"{self}: one product of two codes comes to {most}, sums end at {high}"

    def _sums(self, a: Singles, b: Singles) -> Sums:
        return table_gemm(a, b, self.products(), self.acc, self.overflow == "saturate")


@lru_cache(maxsize=16)
def _of_known(name: str, kept: int, dropped: int) -> npt.NDArray[np.int32]:
    if name == "mitchell":
        return known.signed(known.mitchell()).astype(np.int32)
    return known.signed(known.drum(kept) if name == "drum" else known.truncated(dropped)).astype(np.int32)


@lru_cache(maxsize=16)
def _of_file(path: Path, changed: int, size: int) -> npt.NDArray[np.int32]:
    if size > 1 << 22:
        raise InputError(f"approximate: table {path}: must be at most 4 MiB, has {size >> 20}")
    try:
        if path.suffix == ".npy":
            found = np.load(path, allow_pickle=False)
        else:
            found = np.loadtxt(path.read_text(encoding="utf-8").replace(",", " ").splitlines(), dtype=np.int64, ndmin=2)
    except (OSError, ValueError, OverflowError, EOFError) as error:
        raise InputError(f"approximate: table {path}: {' '.join(str(error).split())[:150]}") from None
    if found.shape not in ((TOP + 1, TOP + 1), (256, 256)) or not np.issubdtype(found.dtype, np.integer):
        raise InputError(
            f"approximate: table {path}: must be 128 x 128 or 256 x 256 whole numbers, got {found.shape} {found.dtype}"
        )
    if found.min() < -_LARGEST or found.max() > _LARGEST:
        raise InputError(f"approximate: table {path}: numbers must be at most 2^30 in size")
    whole = found.astype(np.int64)
    return (known.signed(whole) if len(whole) == TOP + 1 else np.roll(whole, 128, (0, 1))).astype(np.int32)
