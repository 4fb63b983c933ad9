"""A machine made from a file of measurements: its base's model with the constants that were fitted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from siloom.models import gpu
from siloom.models._cpu_design import CpuDesign
from siloom.models._cpu_machine import Cpu
from siloom.models._measured_file import Fit, MeasuredFile, read
from siloom.sim.design import Design
from siloom.sim.errors import InputError, did_you_mean
from siloom.sim.machine import Machine
from siloom.sim.ops import Operation
from siloom.sim.result import Result

GENERIC_CPU = "cpu"
"""Base of a measured host: the CPU model, whose every constant of use then comes from the file."""


class _GenericCpu(Cpu):
    """The CPU model without a part of its own."""

    name = GENERIC_CPU
    summary = "the CPU model"
    design_type: ClassVar[type[Design]] = CpuDesign


def bases() -> dict[str, type[Machine]]:
    """The machines whose models a file may take, by name."""
    boards = (getattr(gpu, name) for name in gpu.__all__)
    found = {cls.name: cls for cls in boards if issubclass(cls, Machine)}
    return {GENERIC_CPU: _GenericCpu, **found}


def machine_of_file(path: Path) -> tuple[type[Machine], dict[str, object]]:
    """The class of a measured machine and its settings.

    Raises:
        InputError: a malformed file, an unknown base, or a setting that the base's design refuses.
    """
    content = read(path)
    known = bases()
    if content.base not in known:
        raise InputError(
            f"{path}: base must be a GPU or '{GENERIC_CPU}', got {content.base!r}{did_you_mean(content.base, known)}"
        )
    base = known[content.base]
    fields = base.design_type.parameters()
    for name in content.settings:
        if name not in fields:
            raise InputError(f"{path}: settings.{name}: {content.base} has no such field{did_you_mean(name, fields)}")
    settings: dict[str, object] = dict(content.settings)
    base.design_type().with_settings(f"{path}: settings", settings)
    return measured(base, str(path), content), settings


def measured(base: type[Machine], name: str, content: MeasuredFile) -> type[Machine]:
    """A subclass of ``base`` whose results say what was measured; energy was not, and is left out."""
    label = name

    class Measured(base):  # type: ignore[misc,valid-type]
        """A machine from a file of measurements."""

        name = label
        summary = f"{content.device}, measured {content.date}: the model of {content.base} fitted to it"

        def run(self, op: Operation, *, values: bool = False) -> Result:
            """What the base's model says with the fitted constants."""
            result: Result = super().run(op, values=values)
            own = (fit_note(content, op.kind), *(n for n in result.notes if not n.startswith("modelled:")))
            about = {"measured_device": content.device, "measured_date": content.date, "conditions": content.conditions}
            return replace(result, energy_j=None, energy_parts={}, notes=own, provenance={**result.provenance, **about})

    return Measured


def fit_note(content: MeasuredFile, kind: str) -> str:
    """How far to trust a result of an operation of ``kind``."""
    start = f"modelled: {content.base} model fitted on {content.device}, measured {content.date}"
    fit = content.fit.get(kind)
    if fit is None:
        return f"{start}; no {kind} was measured"
    return f"{start}; {_errors(kind, fit)}"


def _errors(kind: str, fit: Fit) -> str:
    held_out = "" if fit.error_mean_held_out is None else f", {fit.error_mean_held_out:.1%} held out"
    how = "in sample" if fit.fields else "none of its constants fitted on them"
    return f"{fit.samples} {kind}: mean error {fit.error_mean:.1%}, at most {fit.error_max:.1%}, {how}{held_out}"


__all__ = ["GENERIC_CPU", "bases", "fit_note", "machine_of_file", "measured"]
