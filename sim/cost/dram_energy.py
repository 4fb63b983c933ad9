"""Energy of a bit between DRAM and chip, by kind of memory: a range, for the sources do not agree.

The table holds every figure found, each with its source. A kind's range runs from its lowest to its
highest figure and ``typical`` is their median; two generations of one tool differ by 1.6 on HBM2.
Figures of the device's core alone (``core_only``) stand in the table but not in the range.
"""

from __future__ import annotations

import statistics
from functools import lru_cache

from siloom.sim.cost import Entry, table
from siloom.sim.errors import InputError, did_you_mean

__all__ = ["KINDS", "LEVELS", "energy_per_bit_j", "reported"]

LEVELS = ("low", "typical", "high")
KINDS = tuple(dict.fromkeys(kind for kind, _ in table("dram_energy")))


def energy_per_bit_j(kind: str, level: str = "typical") -> float:
    """Joules a bit of a transfer from or to memory of ``kind``, at the ``level`` of its range.

    Raises:
        InputError: a kind or a level that is not known.
    """
    if level not in LEVELS:
        raise InputError(f"dram energy: level must be one of {', '.join(LEVELS)}, got {level!r}")
    return _range(kind)[LEVELS.index(level)]


def reported(kind: str) -> dict[str, Entry]:
    """Every figure of a kind by the name of its source, those outside the range too.

    Raises:
        InputError: an unknown kind.
    """
    if kind not in KINDS:
        raise InputError(
            f"dram energy: kind must be one of {', '.join(KINDS)}, got {kind!r}{did_you_mean(kind, KINDS)}"
        )
    return {name: entry for (of, name), entry in table("dram_energy").items() if of == kind}


@lru_cache(maxsize=32)
def _range(kind: str) -> tuple[float, float, float]:
    values = [entry.value for name, entry in reported(kind).items() if name != "core_only"]
    return min(values), statistics.median(values), max(values)
