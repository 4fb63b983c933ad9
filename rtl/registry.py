"""Pairs of ``sim/units/<name>.py`` and ``rtl/units/<name>.py``, found by file name; no list to edit."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from siloom.rtl.tools import require
from siloom.sim.contract import Unit
from siloom.sim.design import Design
from siloom.sim.errors import UsageError, did_you_mean
from siloom.sim.settings import parse_named


def unit_names() -> list[str]:
    """Every unit that has a twin, sorted."""
    return sorted(p.stem for p in (Path(__file__).parent / "units").glob("*.py") if p.stem != "__init__")


def find_unit(name: str) -> Unit[Any]:
    """The unit of this name; Amaranth is not needed.

    Raises:
        UsageError: no such unit (with the nearest name).
    """
    known = unit_names()
    if name not in known:
        raise UsageError(f"no hardware named '{name}'{did_you_mean(name, known)}")
    unit: Unit[Any] = import_module(f"siloom.sim.units.{name}").UNIT
    return unit


def find_design(text: str) -> tuple[Unit[Any], Design]:
    """A unit and its size from ``name:key=value,...``; what is not said has its default.

    Raises:
        UsageError: an unknown name or setting.
        InputError: a value out of its range.
    """
    named = parse_named(text)
    unit = find_unit(named.name)
    return unit, unit.design_type().with_settings(unit.name, named.settings)


def make_twin(unit: Unit[Any], design: Design) -> Any:
    """The Amaranth component of a unit of this size.

    Raises:
        MissingPartError: Amaranth is not installed.
    """
    require("amaranth")
    return import_module(f"siloom.rtl.units.{unit.name}").TWIN(design)


def size_text(design: Design) -> str:
    """A design as the settings that give it again."""
    return ",".join(f"{key}={value}" for key, value in design.as_dict().items())
