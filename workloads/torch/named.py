"""Choices by text, ``name:key=value``: recipes, optimizers, schedules, sparsities, each kind a folder.

A kind is a class below :class:`Choice`. Every file of the kind's folder is read, and each class in it that states a
``name`` can be named; there is no list.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from siloom.sim.design import Design
from siloom.sim.errors import UsageError, did_you_mean
from siloom.sim.settings import parse_named

CHOICE = "free choice of the recipe"
"""Source of settings that no paper gives."""


@dataclass(frozen=True, kw_only=True)
class Choice(Design):
    """Something that a text names, its fields being the settings."""

    name: ClassVar[str]
    summary: ClassVar[str]

    def __str__(self) -> str:
        """The name with all settings: a default that changes later does not change what was run."""
        return f"{self.name}:{self.settings_text()}" if self.as_dict() else self.name


Kind = TypeVar("Kind", bound=Choice)


def choices(kind: type[Kind], package: str) -> dict[str, type[Kind]]:
    """Every class of a kind in the files of ``package``, by its name."""
    found: dict[str, type[Kind]] = {}
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        for item in vars(importlib.import_module(f"{package}.{module.name}")).values():
            if isinstance(item, type) and issubclass(item, kind) and "name" in vars(item):
                found[item.name] = item
    return dict(sorted(found.items()))


def chosen(kind: type[Kind], package: str, text: str, what: str) -> Kind:
    """The choice that a text names; ``what`` is the kind's word in messages.

    Raises:
        UsageError: an unknown name or field.
        InputError: a value that its field refuses.
    """
    named = parse_named(text)
    known: dict[str, Any] = choices(kind, package)
    if named.name not in known:
        raise UsageError(f"no {what} '{named.name}'{did_you_mean(named.name, known)}")
    made: Kind = known[named.name]().with_settings(named.name, named.settings)
    return made
