"""What an evaluation needs to know: sent once to each worker, and hashed into each key.

A machine that is an object travels as its own file, class and design where Python could not import it again elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from siloom import __version__
from siloom.explore.document import Limits, Training
from siloom.explore.row import canonical
from siloom.explore.space import Space
from siloom.models.registry import machine as machine_by_text
from siloom.models.registry import machines_of_file, users_file
from siloom.sim.design import Value
from siloom.sim.errors import InputError
from siloom.sim.machine import Machine

_SOURCES = ("sim", "models", "workloads", "explore/evaluate.py", "explore/bottleneck.py", "explore/train_point.py")
"""What the numbers of a row come from."""
_HARDWARE = ("rtl", "explore/synthesize_point.py")
"""What those of synthesised hardware come from besides."""


@dataclass(frozen=True)
class MachineSource:
    """Where a worker finds a machine: a text, or a file with the class in it and the design's values."""

    text: str
    file: str = ""
    class_name: str = ""
    design: Mapping[str, Value] | None = None
    machine: Machine | None = None

    def make(self) -> Machine:
        """The machine."""
        if self.machine is not None:
            return self.machine
        if not self.file:
            return machine_by_text(self.text)
        for known in machines_of_file(Path(self.file)):
            if known.machine.__name__ == self.class_name:
                return known.machine(known.machine.design_type(**(self.design or {})), self.text)
        raise InputError(f"{self.file}: defines no machine {self.class_name}")


def machine_source(source: str | Machine) -> MachineSource:
    """How ``source`` is found again in another process."""
    if isinstance(source, str):
        return MachineSource(source)
    module = type(source).__module__
    file = users_file(source) or (getattr(sys.modules.get(module), "__file__", None) if module == "__main__" else None)
    if file is None:
        return MachineSource(source.label, machine=source)
    return MachineSource(source.label, str(Path(file).resolve()), type(source).__name__, source.design.as_dict())


@dataclass(frozen=True)
class Job:
    """Everything but the points."""

    machines: tuple[MachineSource, ...]
    machine_texts: tuple[str, ...]
    workloads: tuple[tuple[str, float], ...]
    workload_text: str
    constraints: tuple[str, ...]
    fits: tuple[tuple[str, str], ...]
    fidelity: str
    training: Training | None
    limits: Limits
    part: str = ""

    @classmethod
    def of(cls, space: Space, fidelity: str | None = None) -> Job:
        """The job of a space's points at one fidelity; by default its own."""
        return cls(
            machines=tuple(machine_source(alternative.source) for alternative in space.alternatives),
            machine_texts=tuple(alternative.text for alternative in space.alternatives),
            workloads=tuple((w.source, w.weight) for w in space.workloads),
            workload_text=space.workload_text,
            constraints=tuple(c.text for c in space.constraints),
            fits=tuple((f.text, f.part) for f in space.fits),
            fidelity=fidelity or space.fidelity,
            training=space.training,
            limits=space.limits,
            part=space.finalists.part if space.finalists else "",
        )


@dataclass(frozen=True)
class Task:
    """One point to evaluate: its key, which machine, which fields."""

    key: bytes
    number: int
    settings: Mapping[str, Value]


@cache
def code_version(parts: tuple[str, ...] = _SOURCES) -> str:
    """Hash of the source and tables that numbers come from (16 hex digits)."""
    digest = hashlib.blake2b(__version__.encode(), digest_size=8)
    root = Path(__file__).resolve().parents[1]  # the parts lie side by side, in a checkout and in a wheel
    for source in (root / part for part in parts):
        found = source.rglob("*") if source.is_dir() else [source]
        for path in sorted(p for p in found if p.suffix in (".py", ".csv")):
            digest.update(f"\n{path.relative_to(root).as_posix()} ".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


class Keys:
    """Keys of a job's points: 16 bytes of hash over design, workloads, code and tables.

    Limits, workers and the space that a point was drawn from are no part of it: equal questions meet in one store.
    """

    def __init__(self, job: Job, workload_hashes: list[str]) -> None:
        self._heads: list[tuple[dict[str, Value], str]] = []
        training = None if job.training is None else job.training.model_dump()
        for source in job.machines:
            made = source.make()
            file = users_file(made)
            own = hashlib.blake2b(Path(file).read_bytes(), digest_size=8).hexdigest() if file else ""
            head = canonical(
                [
                    job.fidelity,
                    job.part if job.fidelity == "synthesis" else "",
                    made.name,
                    type(made).__name__,
                    own,
                    [[found, weight] for found, (_, weight) in zip(workload_hashes, job.workloads, strict=True)],
                    [*job.constraints, *(text for text, _ in job.fits)],
                    training,
                    code_version(),
                    *([code_version(_HARDWARE)] if job.fidelity == "synthesis" else []),
                ]
            )
            self._heads.append((made.design.as_dict(), head))

    def key(self, number: int, settings: Mapping[str, Value]) -> bytes:
        """The key of a point of the ``number``-th machine."""
        base, head = self._heads[number]
        text = head + json.dumps({**base, **settings}, sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(text.encode(), digest_size=16).digest()
