"""What an input may ask for before anything is allocated: a memory budget and a rule on shapes.

The budget is half of the memory that is free when it is asked, or ``SILOOM_MEMORY_BYTES`` where
that is set. It bounds the text of a file, the arrays read from it and the arrays a generator draws.
"""

from __future__ import annotations

import os
from pathlib import Path

from siloom.sim.errors import InputError

MAX_DIMENSION = 2**31 - 1
"""Indices are 32 bits in the modelled hardware."""

FREE_DIMENSION = 2**24
"""Up to here a dimension needs no entries to back it: 8 bytes of pointer each make 128 MiB."""

ROWS_PER_ENTRY = 64
"""Beyond ``FREE_DIMENSION`` a dimension may be this many times the entries, so that a header of
fifty bytes cannot ask for gigabytes of row pointers."""

_FALLBACK_FREE = 4 << 30
_SHOWN = 200


def place(path: Path | str) -> str:
    """A path as messages show it: one line, of bounded length."""
    text = str(path)
    if not text.isprintable():
        text = ascii(text)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]}...{text[-_SHOWN // 2 :]}"


def memory_budget() -> int:
    """Bytes that reading or drawing one workload may take.

    Raises:
        InputError: ``SILOOM_MEMORY_BYTES`` is not a whole number above 0.
    """
    chosen = os.environ.get("SILOOM_MEMORY_BYTES")
    if chosen is None:
        return min(_free_memory(), _free_in_group()) // 2
    if not chosen.isascii() or not chosen.isdecimal() or len(chosen) > 18 or int(chosen) == 0:
        raise InputError(f"SILOOM_MEMORY_BYTES must be a whole number above 0, got {chosen[:40]!r}")
    return int(chosen)


def _free_memory() -> int:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return _FALLBACK_FREE


def _free_in_group() -> int:
    """What a container's limit leaves, where there is one."""
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        used = (group / "memory.current").read_text(encoding="ascii").strip()
        return max(0, int(limit) - int(used))
    except (OSError, ValueError):
        return MAX_DIMENSION << 20


def check_bytes(where: str, need: int, what: str) -> None:
    """Refuse ``need`` bytes for ``what`` above the budget.

    Raises:
        InputError: naming the place, the need and the budget.
    """
    budget = memory_budget()
    if need > budget:
        raise InputError(
            f"{where}: {what} would take {_size(need)}, more than the memory budget of {_size(budget)} "
            "(half of what is free; SILOOM_MEMORY_BYTES sets another)"
        )


def _size(count: int) -> str:
    return f"{count / 2**30:.3g} GiB" if count >= 2**30 else f"{count / 2**20:.3g} MiB"


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
