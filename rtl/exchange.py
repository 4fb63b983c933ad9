"""Both neighbours of a twin, for any simulator: what is driven each cycle, and what is seen.

A simulator's loop is three steps - ``drive``, let the logic settle, ``observe`` - and a clock edge.
Whenever no beat is offered, junk lies on the payload: a twin that looks at its inputs a cycle late
finds something else there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

RESET_CYCLES = 2

DRAIN_CYCLES = 8
"""Cycles watched after the last expected result, for beats that nobody asked for."""


@dataclass(frozen=True)
class Plan:
    """What to drive from reset, fixed before the simulation starts.

    ``payloads`` (of ``bits`` bits; results have ``result_bits``) are offered in order, each after
    ``idle`` cycles of junk; the consumer is ready as ``ready`` says by cycle, and always after its end.
    The run ends once ``expected`` results have come, or at cycle ``limit``.
    """

    name: str
    bits: int
    result_bits: int
    payloads: Sequence[int]
    idle: Sequence[int]
    ready: Sequence[bool]
    expected: int
    limit: int
    seed: int


@dataclass
class Seen:
    """What happened: cycles from the first after reset, and the results as payloads.

    ``unstable`` counts cycles in which a waiting result changed or was withdrawn.
    """

    taken: list[int] = field(default_factory=list)
    shown: list[int] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    payloads: list[int] = field(default_factory=list)
    unstable: int = 0


class Exchange:
    """One run of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.seen = Seen()
        self._plan = plan
        self._junk = Random(plan.seed)
        self._cycle = 0
        self._wait = plan.idle[0] if plan.idle else 0
        self._drain = DRAIN_CYCLES
        self._waiting: int | None = None
        self._offers = False
        self._ready = False

    def junk(self) -> int:
        """A payload that means nothing."""
        return self._junk.getrandbits(self._plan.bits)

    def drive(self) -> tuple[bool, int, bool]:
        """This cycle's input ``valid``, input payload and output ``ready``."""
        plan, at = self._plan, len(self.seen.taken)
        self._offers = at < len(plan.payloads) and self._wait == 0
        self._ready = plan.ready[self._cycle] if self._cycle < len(plan.ready) else True
        return self._offers, plan.payloads[at] if self._offers else self.junk(), self._ready

    def observe(self, ready: bool, valid: bool, payload: int) -> bool:
        """Note this cycle's input ``ready``, output ``valid`` and payload; False when all is over."""
        seen, plan = self.seen, self._plan
        if not self._offers:
            self._wait = max(self._wait - 1, 0)
        elif ready:
            seen.taken.append(self._cycle)
            self._wait = plan.idle[len(seen.taken)] if len(seen.taken) < len(plan.idle) else 0
        if self._waiting is not None and (not valid or payload != self._waiting):
            seen.unstable += 1
        if valid and self._waiting is None:
            seen.shown.append(self._cycle)
        elif not valid and self._waiting is not None:
            seen.shown.pop()
        self._waiting = payload if valid else None
        if valid and self._ready:
            seen.left.append(self._cycle)
            seen.payloads.append(payload)
            self._waiting = None
        self._cycle += 1
        if len(seen.taken) == len(plan.payloads) and len(seen.left) >= plan.expected:
            self._drain -= 1
        return self._drain > 0 and self._cycle < plan.limit


# Plans and sightings cross into a simulator's own process as one file of plain arrays.


def save_plans(path: Path, plans: Sequence[Plan]) -> None:
    """Write plans for :func:`load_plans`."""
    arrays: dict[str, Any] = {}
    for n, plan in enumerate(plans):
        arrays[f"{n}.numbers"] = np.array([plan.bits, plan.result_bits, plan.expected, plan.limit, plan.seed], np.int64)
        arrays[f"{n}.payloads"] = _to_bytes(plan.payloads, plan.bits)
        arrays[f"{n}.idle"] = np.array(plan.idle, np.int64)
        arrays[f"{n}.ready"] = np.array(plan.ready, np.bool_)
    np.savez(path, names=np.array([p.name for p in plans], np.str_), **arrays)


def load_plans(path: Path) -> list[Plan]:
    """Read the plans back."""
    with np.load(path, allow_pickle=False) as file:
        plans = []
        for n, name in enumerate(file["names"].tolist()):
            bits, result_bits, expected, limit, seed = file[f"{n}.numbers"].tolist()
            payloads = _from_bytes(file[f"{n}.payloads"])
            idle, ready = file[f"{n}.idle"].tolist(), file[f"{n}.ready"].tolist()
            plans.append(Plan(name, bits, result_bits, payloads, idle, ready, expected, limit, seed))
        return plans


def save_seen(path: Path, sightings: Sequence[Seen], bits: int) -> None:
    """Write what was seen, for :func:`load_seen`; ``bits`` is the width of a result."""
    arrays: dict[str, Any] = {}
    for n, seen in enumerate(sightings):
        for part in ("taken", "shown", "left"):
            arrays[f"{n}.{part}"] = np.array(getattr(seen, part), np.int64)
        arrays[f"{n}.payloads"] = _to_bytes(seen.payloads, bits)
        arrays[f"{n}.unstable"] = np.array(seen.unstable, np.int64)
    np.savez(path, **arrays)


def load_seen(path: Path) -> list[Seen]:
    """Read back what was seen."""
    with np.load(path, allow_pickle=False) as file:
        return [
            Seen(
                taken=file[f"{n}.taken"].tolist(),
                shown=file[f"{n}.shown"].tolist(),
                left=file[f"{n}.left"].tolist(),
                payloads=_from_bytes(file[f"{n}.payloads"]),
                unstable=int(file[f"{n}.unstable"]),
            )
            for n in range(len(file.files) // len(fields(Seen)))
        ]


def _to_bytes(payloads: Sequence[int], bits: int) -> npt.NDArray[np.uint8]:
    size = -(-bits // 8)
    raw = b"".join(p.to_bytes(size, "little") for p in payloads)
    return np.frombuffer(raw, np.uint8).reshape(len(payloads), size)


def _from_bytes(raw: npt.NDArray[np.uint8]) -> list[int]:
    return [int.from_bytes(row.tobytes(), "little") for row in raw]
