"""What hardware there is, found by file name; no list to edit.

A unit is a pair of ``sim/units/<name>.py`` and ``rtl/units/<name>.py``; a machine is ``rtl/trials/<name>.py``
(its sizes and trials) and ``rtl/machines/<name>.py`` (its component). A :class:`Block` is either, of one size.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from siloom.rtl.cosim import Trial, Verdict, cosimulate, score
from siloom.rtl.hardware import Hardware
from siloom.rtl.tools import require
from siloom.sim.contract import Unit
from siloom.sim.design import Design
from siloom.sim.errors import UsageError, did_you_mean
from siloom.sim.settings import Named, parse_named


class Block(Protocol):
    """Hardware of one size, that can be checked, emitted and synthesised."""

    @property
    def name(self) -> str:
        """Its file's name."""

    @property
    def kind(self) -> str:
        """``unit`` or ``machine``."""

    @property
    def summary(self) -> str:
        """What it is, in a line."""

    @property
    def design(self) -> Design:
        """Its size."""

    @property
    def size(self) -> str:
        """The settings that give this size again."""

    def make(self) -> Any:
        """A new Amaranth component; MissingPartError where Amaranth is not installed."""

    def trials(self, vectors: int, seed: int) -> Sequence[Trial]:
        """Its runs with the model's side of them; ``vectors`` is about how many beats a unit is given."""

    def check(self, vectors: int, seed: int, simulator: str, waves: Path | None = None) -> Verdict:
        """Compare it with its model; ``vectors`` is about how many beats a unit is given."""


class UnitBlock:
    """A functional unit."""

    kind = "unit"

    def __init__(self, unit: Unit[Any], design: Design) -> None:
        self.unit, self.design = unit, design
        self.name, self.summary = unit.name, unit.summary

    @property
    def size(self) -> str:
        """All of its settings."""
        return size_text(self.design)

    def make(self) -> Any:
        """A new component."""
        require("amaranth")
        return import_module(f"siloom.rtl.units.{self.name}").TWIN(self.design)

    def trials(self, vectors: int, seed: int) -> Sequence[Trial]:
        """The cases of its conformance tests."""
        from siloom.rtl.testing import make_cases

        contract = self.unit.contract(self.design)
        return [
            Trial(case.plan, {"o": contract.outputs.pack(case.answer.beats)}, case.schedule.cycles)
            for case in make_cases(contract, vectors, seed)
        ]

    def check(self, vectors: int, seed: int, simulator: str, waves: Path | None = None) -> Verdict:
        """Hold it to its Contract, bit for bit and cycle for cycle."""
        from siloom.rtl.testing import conform

        contract = self.unit.contract(self.design)
        return conform(contract, self.make, vectors=vectors, seed=seed, simulator=simulator, waves=waves)


class MachineBlock:
    """A machine."""

    kind = "machine"

    def __init__(self, hardware: Hardware[Any], design: Design) -> None:
        self.hardware, self.design = hardware, design
        self.name, self.summary = hardware.name, hardware.summary

    @property
    def size(self) -> str:
        """The settings in which it differs from the machine's own default design."""
        default = type(self.design)().as_dict()
        return ",".join(f"{key}={value}" for key, value in self.design.as_dict().items() if value != default[key])

    def make(self) -> Any:
        """A new component."""
        require("amaranth")
        return import_module(f"siloom.rtl.machines.{self.name}").TWIN(self.design)

    def trials(self, vectors: int, seed: int) -> Sequence[Trial]:
        """Its trials; their number does not depend on ``vectors``."""
        return self.hardware.trials(self.design, seed)

    def check(self, vectors: int, seed: int, simulator: str, waves: Path | None = None) -> Verdict:
        """Run its trials."""
        trials = self.trials(vectors, seed)
        sightings = cosimulate(self.make, [trial.plan for trial in trials], simulator, waves)
        return score(trials, sightings, self.hardware.bound)


def unit_names() -> list[str]:
    """Every unit that has a twin, sorted."""
    return _stems("units")


def machine_names() -> list[str]:
    """Every machine that has RTL, sorted."""
    return _stems("trials")


def find_blocks(text: str) -> list[Block]:
    """The block of ``name:key=value,...``; of a bare name, every size that its file names.

    Raises:
        UsageError: an unknown name or setting.
        InputError: a value out of its range.
        InfeasibleError: a machine's design that its RTL cannot be made for.
    """
    named = parse_named(text)
    if named.settings:
        return [find_block(text)]
    if _kind(named) == "unit":
        unit = find_unit(named.name)
        return [UnitBlock(unit, size) for size in unit.sizes]
    hardware = find_hardware(named.name)
    return [MachineBlock(hardware, size) for size in hardware.sizes]


def find_block(text: str) -> Block:
    """The block of ``name:key=value,...``; what is not said has its default.

    Raises:
        UsageError: an unknown name or setting.
        InputError: a value out of its range.
        InfeasibleError: a machine's design that its RTL cannot be made for.
    """
    named = parse_named(text)
    if _kind(named) == "unit":
        unit = find_unit(named.name)
        return UnitBlock(unit, unit.design_type().with_settings(unit.name, named.settings))
    hardware = find_hardware(named.name)
    return MachineBlock(hardware, hardware.design(named.settings))


def find_unit(name: str) -> Unit[Any]:
    """The unit of this name; Amaranth is not needed."""
    unit: Unit[Any] = import_module(f"siloom.sim.units.{name}").UNIT
    return unit


def find_hardware(name: str) -> Hardware[Any]:
    """The machine of this name; Amaranth is not needed."""
    hardware: Hardware[Any] = import_module(f"siloom.rtl.trials.{name}").HARDWARE
    return hardware


def size_text(design: Design) -> str:
    """A design as the settings that give it again."""
    return design.settings_text()


def _kind(named: Named) -> str:
    if named.name in unit_names():
        return "unit"
    if named.name in machine_names():
        return "machine"
    known = [*unit_names(), *machine_names()]
    raise UsageError(f"no hardware named '{named.name}'{did_you_mean(named.name, known)}")


def _stems(folder: str) -> list[str]:
    return sorted(p.stem for p in (Path(__file__).parent / folder).glob("*.py") if not p.stem.startswith("_"))
