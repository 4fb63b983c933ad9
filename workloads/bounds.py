"""What an input may ask for before anything is allocated: a memory budget and a rule on shapes.

The budget is half of the memory that is free when it is asked, or ``SILOOM_MEMORY_BYTES`` where
that is set. It bounds the text of a file, the arrays read from it and the arrays a generator draws.
"""

from __future__ import annotations

from pathlib import Path

from siloom.sim.budget import check_bytes as check_bytes
from siloom.sim.budget import memory_budget as memory_budget
from siloom.sim.errors import InputError

MAX_DIMENSION = 2**31 - 1
"""Indices are 32 bits in the modelled hardware."""

FREE_DIMENSION = 2**24
"""Up to here a dimension needs no entries to back it: 8 bytes of pointer each make 128 MiB."""

ROWS_PER_ENTRY = 64
"""Beyond ``FREE_DIMENSION`` a dimension may be this many times the entries, so that a header of
fifty bytes cannot ask for gigabytes of row pointers."""

_SHOWN = 200


def place(path: Path | str) -> str:
    """A path as messages show it: one line, of bounded length."""
    text = str(path)
    if not text.isprintable():
        text = ascii(text)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]}...{text[-_SHOWN // 2 :]}"


def check_shape(where: str, rows: int, cols: int, entries: int) -> None:
    """Refuse dimensions outside the index range, or far beyond what ``entries`` justify.

    Raises:
        InputError: naming the dimension, the rule and the value.
    """
    for name, size in (("rows", rows), ("columns", cols)):
        if not 0 <= size <= MAX_DIMENSION:
            raise InputError(f"{where}: {name} must be between 0 and {MAX_DIMENSION}, got {size}")
        if size > max(FREE_DIMENSION, ROWS_PER_ENTRY * entries):
            raise InputError(
                f"{where}: {name} must be at most {FREE_DIMENSION}, or {ROWS_PER_ENTRY} for each entry, "
                f"got {size} for {entries} entries"
            )
