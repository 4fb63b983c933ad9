"""Numbers and names as readers see them: SI prefixes, labels, order."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence

from siloom.sim.result import Result

_PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P", 18: "E"}


def prefix_for(value: float) -> tuple[float, str]:
    """The factor and SI prefix that bring ``value`` into 1 to 1000, e.g. ``(1e-3, "m")`` for 0.02."""
    if value == 0 or not math.isfinite(value):
        return 1.0, ""
    power = 3 * math.floor(math.log10(abs(value)) / 3)
    power = min(max(power, min(_PREFIXES)), max(_PREFIXES))
    return float(f"1e{power}"), _PREFIXES[power]


def si(value: float, unit: str) -> str:
    """Three significant digits with an SI prefix and the unit: ``si(0.00123, "s")`` is ``1.23 ms``."""
    value = float(f"{value:.3g}")  # rounded first, so that 999.9 becomes 1.00 k, not 1000
    factor, prefix = prefix_for(value)
    return f"{digits(value / factor)} {prefix}{unit}".rstrip()


def digits(value: float) -> str:
    """Three significant digits, written out between 0.001 and 100 000: ``1.20``, ``87.0``, ``450``."""
    if value == 0:
        return "0"
    size = abs(value)
    if not 1e-3 <= size < 1e5:
        return f"{value:.2e}"
    before = math.floor(math.log10(float(f"{size:.3g}")))
    return f"{value:.{max(0, 2 - before)}f}"


def count(value: float) -> str:
    """A count with a thin grouping: ``4,542,805``; a fraction keeps six digits."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def printable(text: str) -> str:
    """``text`` without control characters and lone surrogates, which no file format may hold."""
    return "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cs") else c for c in text)


def shorten(text: str, length: int = 40) -> str:
    """At most ``length`` characters: the middle gives way, since settings differ at both ends."""
    if len(text) <= length:
        return text
    tail = length // 3
    return f"{text[: length - tail - 1]}…{text[-tail:]}"


def natural(text: str) -> tuple[tuple[int, str], ...]:
    """Sort key under which ``tile 2`` comes before ``tile 10``."""
    pieces = re.split(r"([0-9]+)", text)
    return tuple((len(p.lstrip("0")), p.lstrip("0")) if i % 2 else (-1, p) for i, p in enumerate(pieces))


def ordered(names: Iterable[str], first: Sequence[str] = ()) -> list[str]:
    """Each name once: those in ``first`` in that order, then the others in natural order."""
    present = set(names)
    return [n for n in first if n in present] + sorted(present - set(first), key=lambda n: (natural(n), n))


def labels(results: Sequence[Result]) -> list[str]:
    """A distinct label for each result: the machine, with its workload and a number where needed."""
    machines = [r.machine for r in results]
    names = [
        printable(r.machine if machines.count(r.machine) == 1 else f"{r.machine} on {r.workload}") for r in results
    ]
    out: list[str] = []
    taken = set(names)
    for name in names:
        label, number = name, 1
        while label in out or (number > 1 and label in taken):
            number += 1
            label = f"{name} ({number})"
        out.append(label)
    return out
