"""One point of a space, evaluated at one fidelity: what a worker returns and a store keeps.

Rows are the only thing that passes from evaluation to the store, and from the store to searches, tables and pages.
Everything here is a function of the point, the workloads, the code and its tables: no times, hosts or limits, so that
equal points give equal rows on any machine, in any order, after any history.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from siloom.sim.design import Value

Status = Literal["ok", "infeasible", "failed", "crashed"]
"""``ok``: has metrics. ``infeasible``: cannot be built, or breaks a constraint. ``failed``: its machine or workload
raised what is not the point's fault. ``crashed``: the process that evaluated it died, twice, on this point alone."""

STATUSES: tuple[Status, ...] = ("ok", "infeasible", "failed", "crashed")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A point's result.

    ``key`` (16 bytes) is the hash of all that the result depends on. ``machine`` and ``settings`` name the design,
    ``workload`` what it ran, ``fidelity`` how it was evaluated (``bound``, ``cycles``, ``training``, ``synthesis``).
    ``reason`` says in a word that a program may read why there are no metrics, or which constraint is broken;
    ``message`` says it in a sentence. ``metrics`` are SI numbers by the names of :mod:`siloom.explore.metrics`;
    a point that breaks a constraint has those that are known of it (its area alone, where that is known before it
    runs), one that cannot be built has none. ``bottleneck`` is the class that most cycles went to. ``details`` are the
    stall tree and the parts of energy and area, as a JSON document.
    """

    key: bytes
    machine: str
    settings: Mapping[str, Value]
    workload: str
    fidelity: str
    status: Status
    reason: str = ""
    message: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    bottleneck: str = ""
    details: str = ""

    @property
    def design(self) -> str:
        """The machine with its settings, as the command line takes it."""
        return machine_text(self.machine, self.settings)


def machine_text(machine: str, settings: Mapping[str, Value]) -> str:
    """``outerspace`` and ``{"tiles": 8}`` as ``outerspace:tiles=8``; settings that are there come first."""
    if not settings:
        return machine
    added = ",".join(f"{name}={value}" for name, value in settings.items())
    return f"{machine}{',' if ':' in machine else ':'}{added}"


def canonical(document: Any) -> str:
    """A JSON document that equal values always give as equal text."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
