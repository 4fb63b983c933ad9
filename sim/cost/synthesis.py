"""What hardware of ours takes of FPGA parts, as synthesis, placement and routing measured it.

``synthesis.csv`` holds what ``siloom rtl synth`` gave, and is written by ``benchmarks/synthesis.py``. An owner
is ``<part>/<unit or machine>:<settings>``; a design that does not fit has counts and no clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from siloom.sim.cost import table

__all__ = ["COUNTS", "Synthesised", "owner", "synthesised", "synthesised_sizes"]

COUNTS = ("lut", "ff", "dsp", "bram", "carry")


@dataclass(frozen=True)
class Synthesised:
    """One design in one part.

    ``lut`` are 4-input LUTs, those of carries and of memories in LUTs included, ``dsp`` multiplier blocks, ``bram``
    memory blocks. ``clock_hz`` is None where the design did not fit; ``source`` names the tools.
    """

    lut: int
    ff: int
    dsp: int
    bram: int
    carry: int
    clock_hz: float | None
    source: str


def synthesised(part: str, name: str, settings: str) -> Synthesised | None:
    """What was measured of a unit or machine of exactly this size in a part; None where nothing was."""
    rows = table("synthesis")
    of = owner(part, name, settings)
    if (of, "lut") not in rows:
        return None
    clock = rows.get((of, "clock_hz"))
    counts = {count: int(rows[of, count].value) for count in COUNTS}
    return Synthesised(**counts, clock_hz=None if clock is None else clock.value, source=rows[of, "lut"].source)


def synthesised_sizes(part: str, name: str) -> list[str]:
    """The settings of every size of a unit or machine that was measured in a part."""
    begin = owner(part, name, "")
    return sorted({of.removeprefix(begin) for of, _ in table("synthesis") if of.startswith(begin)})


def owner(part: str, name: str, settings: str) -> str:
    """The owner of a design's rows."""
    return f"{part}/{name}:{settings}"
