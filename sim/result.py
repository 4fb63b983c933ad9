"""The result of one simulation or measurement: the only thing that reports read.

Every quantity is in SI units or plain counts; JSON form and object carry the same field names.
Equal inputs give equal bytes: no time stamps, keys sorted, cycles whole.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from siloom.sim.errors import InputError
from siloom.sim.sparse import Csr

SCHEMA = 1
Kind = Literal["modelled", "measured", "published"]


@dataclass(frozen=True)
class Phase:
    """A stretch of the run. ``stalls`` splits its cycles by cause, work itself under ``compute``."""

    name: str
    cycles: int | None
    seconds: float
    stalls: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Timeline:
    """Activity over time, as fractions of 1 in equal bins.

    ``lanes`` is group -> lane -> values, e.g. ``{"tile": {"tile 0": (0.5, ...)}}``.
    """

    bin_seconds: float
    lanes: Mapping[str, Mapping[str, tuple[float, ...]]]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a machine did with an operation or a workload; see DESIGN's contract of ``--json``.

    ``cycles`` and ``clock_hz`` are None where the time was measured or a model knows no cycles.
    ``stalls`` adds up to ``cycles``; ``energy_parts`` to ``energy_j``; ``area_parts`` to ``area_mm2``.
    ``precision`` names the number formats that products were computed in, which need not be those the
    workload asked for. ``quality`` says how good an approximation was, by the names of
    :mod:`siloom.sim.approximation`; over several operations it is their mean by repeats. ``values`` is a sparse
    product, or attention's output [batch, heads, seq, dim].

    ``peaks`` are rates of a data sheet, for the roofline, that no run exceeds: ``operations_per_s`` of the units
    that the operation runs on, those of products in the format they are computed in (a multiply and its
    addition are two), or where there are no products those of its vector work; ``bytes_per_s`` of memory's pins,
    absent where memory is ideal. ``utilization`` is the effective operations (two per effective multiply that was
    done, or the operation's ``flops`` where it has no multiplies) over what ``operations_per_s`` would do in
    ``seconds``; of a workload, its mean over time. None where no peak is known. :func:`utilization` computes it.

    ``over_rest`` says, where a second machine ran the rest, how many times as fast all was as on that machine alone:
    ``baseline`` names it, ``supported`` is the ratio for the operations that were not the rest, ``with_transfers`` the
    same with what went over the link, ``whole`` that for the workload.

    ``overhead_s`` is the part of ``seconds`` in which calls and their host are waited for, not the machine's own
    work: launches, waits for a call's end, allocations, transfers from and to a host. 0 where a machine is taken
    to have none of them; None where they are not told apart, as in what was measured.
    """

    machine: str
    workload: str
    seconds: float
    overhead_s: float | None = None
    kind: Kind = "modelled"
    precision: Sequence[str] = ()
    cycles: int | None = None
    clock_hz: float | None = None
    energy_j: float | None = None
    energy_parts: Mapping[str, float] = field(default_factory=dict)
    area_mm2: float | None = None
    area_parts: Mapping[str, float] = field(default_factory=dict)
    operations: Mapping[str, int] = field(default_factory=dict)
    traffic_bytes: Mapping[str, int] = field(default_factory=dict)
    phases: Sequence[Phase] = ()
    stalls: Mapping[str, int] = field(default_factory=dict)
    utilization: float | None = None
    coverage: Mapping[str, float] = field(default_factory=lambda: {"operations": 1.0, "flops": 1.0})
    unsupported: Sequence[Mapping[str, Any]] = ()
    rows: Sequence[Mapping[str, Any]] = ()
    checks: Mapping[str, Any] = field(default_factory=dict)
    counters: Mapping[str, int] = field(default_factory=dict)
    peaks: Mapping[str, float] = field(default_factory=dict)
    timeline: Timeline | None = None
    notes: Sequence[str] = ()
    design: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    quality: Mapping[str, float] = field(default_factory=dict)
    over_rest: Mapping[str, Any] = field(default_factory=dict)
    values: Csr | NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        """Hold the sums that every reader relies on."""
        if not math.isfinite(self.seconds) or self.seconds < 0:
            raise ValueError(f"{self.machine}: seconds must be finite and at least 0, got {self.seconds}")
        if self.overhead_s is not None and not 0 <= self.overhead_s <= self.seconds * (1 + 1e-9):
            raise ValueError(f"{self.machine}: overhead_s must be between 0 and the seconds, got {self.overhead_s}")
        if self.cycles is not None and self.stalls:
            total = sum(self.stalls.values())
            if total != self.cycles:
                raise ValueError(f"{self.machine}: stall causes add up to {total}, not to {self.cycles} cycles")
        _adds_up(self.machine, "energy", self.energy_parts, self.energy_j)
        _adds_up(self.machine, "area", self.area_parts, self.area_mm2)

    @property
    def power_w(self) -> float | None:
        """Mean power over the run."""
        if self.energy_j is None or self.seconds <= 0:
            return None
        return self.energy_j / self.seconds

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; product values are left out."""
        out: dict[str, Any] = {"schema": SCHEMA}
        for f in dataclasses.fields(self):
            if f.name in ("values", "phases", "timeline") or (f.name == "over_rest" and not self.over_rest):
                continue
            out[f.name] = _plain(getattr(self, f.name))
        out["phases"] = [_plain(dataclasses.asdict(p)) for p in self.phases]
        out["power_w"] = self.power_w
        if self.timeline is not None:
            out["timeline"] = {"bin_seconds": self.timeline.bin_seconds, "lanes": _plain(self.timeline.lanes)}
        return out

    def to_json(self) -> str:
        """One JSON document, keys sorted."""
        return json.dumps(self.to_dict(), sort_keys=True, allow_nan=False)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "result") -> Result:
        """Read back :meth:`to_dict`.

        Raises:
            InputError: not such an object, another schema, a missing or an unknown field.
        """
        if not isinstance(data, Mapping) or data.get("schema") != SCHEMA:
            raise InputError(f"{where}: not a siloom result of schema {SCHEMA}")
        names = {f.name for f in dataclasses.fields(cls)} - {"values"}
        known = {k: v for k, v in data.items() if k in names}
        if extra := set(data) - names - {"schema", "power_w", "speedup"}:
            raise InputError(f"{where}: unknown field '{sorted(extra)[0]}'")
        try:
            known["phases"] = tuple(Phase(**p) for p in data["phases"])
            if data.get("timeline"):
                lanes = {
                    g: {k: tuple(map(float, v)) for k, v in lane.items()}
                    for g, lane in data["timeline"]["lanes"].items()
                }
                known["timeline"] = Timeline(float(data["timeline"]["bin_seconds"]), lanes)
            known |= {
                name: tuple(known[name]) for name in ("precision", "unsupported", "rows", "notes") if name in known
            }
            return cls(**known)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{where}: not a complete siloom result: {error}") from None

    @classmethod
    def load(cls, path: Path) -> Result:
        """Read a result file that ``siloom run --json`` wrote.

        Raises:
            InputError: absent, not JSON, or not a result.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from None
        except (ValueError, RecursionError):
            raise InputError(f"{path}: is not a JSON document") from None
        return cls.from_dict(data, str(path))


def utilization(operations: Mapping[str, int], flops: int, peaks: Mapping[str, float], seconds: float) -> float:
    """The share of the peak rate that effective work reached, as :class:`Result` defines it.

    ``operations`` are the result's; ``flops`` those of the operation, for where it has no multiplies.
    """
    done = min(operations.get("multiplies", 0), operations.get("effective_multiplies", 0))
    at_peak = peaks["operations_per_s"] * seconds
    return min(1.0, (2 * done or flops) / at_peak) if at_peak else 0.0


def _adds_up(machine: str, what: str, parts: Mapping[str, float], whole: float | None) -> None:
    if whole is not None and parts:
        total = math.fsum(parts.values())
        if not math.isclose(total, whole, rel_tol=1e-9, abs_tol=1e-30):
            raise ValueError(f"{machine}: parts of the {what} add up to {total!r}, not to {whole!r}")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, str) or value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Iterable):
        return [_plain(v) for v in value]
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} does not belong in a result")


def apportion(cycles: int, shares: Mapping[str, int]) -> dict[str, int]:
    """Scale ``shares`` to whole numbers that add up to ``cycles``, largest remainders first.

    Used to state stall causes, summed over many PEs, as parts of the phase's cycles.
    """
    total = sum(shares.values())
    if total == 0 or cycles == 0:
        return dict.fromkeys(shares, 0)
    out = {name: cycles * share // total for name, share in shares.items()}
    rest = {name: cycles * share % total for name, share in shares.items()}
    left = cycles - sum(out.values())
    for name in sorted(shares, key=lambda n: (-rest[n], n))[:left]:
        out[name] += 1
    return out
