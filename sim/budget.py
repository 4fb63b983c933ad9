"""How much memory one workload may take: half of what is free when it is asked, or ``SILOOM_MEMORY_BYTES``."""

from __future__ import annotations

import os
from pathlib import Path

from siloom.sim.errors import InputError

_FALLBACK_FREE = 4 << 30
_NO_LIMIT = (2**31 - 1) << 20


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
        return _NO_LIMIT


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
