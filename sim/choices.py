"""Choices by text, ``name:key=value``: arithmetics, methods of attention, optimizers, each kind a folder.

A kind is a class of designs. Every file of the kind's folder is read, and each class in it that states a ``name`` can
be named; there is no list.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TypeVar

from siloom.sim.design import Design
from siloom.sim.errors import UsageError, did_you_mean
from siloom.sim.settings import parse_named

Kind = TypeVar("Kind", bound=Design)


def choices(kind: type[Kind], package: str) -> dict[str, type[Kind]]:
    """Every class of a kind in the files of ``package``, by its name."""
    found: dict[str, type[Kind]] = {}
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        for item in vars(importlib.import_module(f"{package}.{module.name}")).values():
            if isinstance(item, type) and issubclass(item, kind) and "name" in vars(item):
                found[vars(item)["name"]] = item
    return dict(sorted(found.items()))


def chosen(kind: type[Kind], package: str, text: str, what: str) -> Kind:
    """The choice that a text names; ``what`` is the kind's word in messages.

    Raises:
        UsageError: an unknown name or field.
        InputError: a value that its field refuses.
    """
    named = parse_named(text)
    known = choices(kind, package)
    if named.name not in known:
        raise UsageError(f"no {what} '{named.name}'{did_you_mean(named.name, known)}")
    return known[named.name]().with_settings(named.name, named.settings)


def shortest_text(name: str, design: Design) -> str:
    """A choice's name with the settings that differ from its kind's own."""
    plain = type(design)()
    own = [f"{k}={v}" for k, v in design.as_dict().items() if v != getattr(plain, k)]
    return f"{name}:{','.join(own)}" if own else name
