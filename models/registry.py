"""Machines by text: ours by folder, a user's own by path, installed ones by entry point.

A MACHINE text is a name with settings: ``outerspace``, ``outerspace:l0_bytes=32768``,
``k40:library=cusp``, ``./my_machine.py:rows=8``, ``my-gpu.toml`` (written by ``siloom measure``).
Ours are the :class:`Machine` classes in the files of this folder; nothing lists them. A name is
looked for first in the files whose names begin it, and no file is imported behind the one that has it.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import itertools
import pkgutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import siloom.models
from siloom.sim.design import Design
from siloom.sim.errors import InputError, UsageError, did_you_mean
from siloom.sim.machine import Machine
from siloom.sim.ops import Operation
from siloom.sim.settings import parse_named

GROUP = "siloom.machines"
_USER = "siloom_user_"
_FILES: dict[str, str] = {}
"""Modules made of users' files: module name -> the path as it was given."""
_LONGEST_TEXT = 4096


@dataclass(frozen=True)
class Known:
    """A name under which a machine is found: its class and the settings the name stands for."""

    name: str
    machine: type[Machine]
    settings: dict[str, object]
    origin: str

    def design(self) -> Design:
        """The design that the name stands for."""
        return self.machine.design_type().with_settings(self.name, self.settings)

    def make(self) -> Machine:
        """The machine that the name stands for."""
        return self.machine(self.design(), self.name)

    def describe(self) -> dict[str, Any]:
        """What ``siloom machines`` prints of it."""
        design = self.design()
        values = design.as_dict()
        return {
            "name": self.name,
            "kind": self.machine.kind,
            "summary": self.machine.summary,
            "operations": sorted(op.__name__.lower() for op in self.machine.operations),
            "origin": self.origin,
            "fields": [
                {
                    "name": name,
                    "value": values[name],
                    "unit": about.unit,
                    "low": about.low,
                    "high": about.high,
                    "choices": list(about.choices),
                    "status": about.status,
                    "source": about.source,
                }
                for name, about in design.parameters().items()
            ],
        }


def machine(text: str) -> Machine:
    """Make the machine that ``text`` names.

    Raises:
        UsageError: an unknown name or field.
        InputError: a value out of range, or a file that holds no machine.
    """
    if not text or len(text) > _LONGEST_TEXT or not text.isprintable():
        raise UsageError(f"a machine must be 1 to {_LONGEST_TEXT} printable characters")
    named = parse_named(text)
    known = _find(named.name)
    if not named.settings:
        return known.make()
    return known.machine(known.design().with_settings(named.name, named.settings), str(named))


def is_file(name: str) -> bool:
    """Whether a machine's name is the path of a Python file."""
    return name.endswith(".py")


def machines() -> list[Known]:
    """Every machine of this folder and of installed entry points, by name."""
    found = {known.name: known for name in _stems() for known in _of_module(_import(name), "siloom")}
    found.update({known.name: known for known in _entry_points()})
    return [found[name] for name in sorted(found)]


def _find(name: str) -> Known:
    if is_file(name):
        return _only(machines_of_file(Path(name)), name)
    if name.endswith(".toml"):
        from siloom.models._measured_machine import machine_of_file

        cls, settings = machine_of_file(Path(name))
        return Known(name, cls, settings, name)
    stem = name.replace("-", "_")
    likely = sorted(_stems(), key=lambda other: not stem.startswith(other))
    ours = (known for other in likely for known in _of_module(_import(other), "siloom"))
    for known in itertools.chain(ours, _entry_points()):
        if known.name == name:
            return known
    raise UsageError(f"no machine '{name}'{did_you_mean(name, [known.name for known in machines()])}")


def _stems() -> list[str]:
    """Files of this folder that may hold machines."""
    here = siloom.models.__path__
    return sorted(m.name for m in pkgutil.iter_modules(here) if not m.name.startswith("_") and m.name != "registry")


def _import(stem: str) -> ModuleType:
    return importlib.import_module(f"siloom.models.{stem}")


def _of_module(module: ModuleType, origin: str) -> Iterator[Known]:
    for _, cls in inspect.getmembers(module, inspect.isclass):
        if issubclass(cls, Machine) and cls.__module__ == module.__name__ and not inspect.isabstract(cls):
            yield Known(cls.name, cls, {}, origin)
            for name, settings in cls.variants.items():
                yield Known(name, cls, dict(settings), origin)


def machines_of_file(path: Path) -> list[Known]:
    """The machines that a user's own Python file defines.

    Raises:
        InputError: absent, not a file, failing when run, or without a Machine class.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    name = _USER + hashlib.blake2b(str(path.resolve()).encode(), digest_size=6).hexdigest()
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path}: is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        # What a user's file prints is no part of a document on stdout.
        with contextlib.redirect_stdout(sys.stderr):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        sys.modules.pop(name, None)
        raise InputError(f"{path}: line {_line(error, path)}: {type(error).__name__}: {error}") from error
    for _, cls in inspect.getmembers(module, inspect.isclass):
        if issubclass(cls, Machine) and cls.__module__ == name and not inspect.isabstract(cls):
            _sound(cls, path)
    found = list(_of_module(module, str(path)))
    _FILES[name] = str(path)
    if not found:
        raise InputError(f"{path}: defines no class derived from siloom.sim.machine.Machine")
    return found


def _sound(cls: type[Machine], path: Path) -> None:
    """Refuse a class that leaves out what the interface asks for, or whose defaults break their own rules."""
    for word in ("name", "kind", "summary", "operations", "design_type"):
        if not hasattr(cls, word):
            raise InputError(f"{path}: class {cls.__name__} has no {word}")
    kinds = cls.operations
    if not isinstance(kinds, tuple) or not all(isinstance(k, type) and issubclass(k, Operation) for k in kinds):
        raise InputError(f"{path}: class {cls.__name__}: operations must be a tuple of operation types, got {kinds!r}")
    try:
        cls.design_type()
    except Exception as error:
        raise InputError(f"{path}: {cls.__name__}.design_type: {error}") from error


def users_file(machine: Machine) -> str | None:
    """The user's own file that a machine comes from, if it does."""
    return _FILES.get(type(machine).__module__)


def raised_in(error: BaseException, path: Path) -> int:
    """Line of a file that an error came through, the last of them; 0 if it did not."""
    line, trace = 0, error.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename).resolve() == path.resolve():
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _line(error: BaseException, path: Path) -> int:
    """Line of the user's file that an error came from."""
    if isinstance(error, SyntaxError) and error.lineno:
        return error.lineno
    return raised_in(error, path)


def _only(found: list[Known], name: str) -> Known:
    if len({known.machine for known in found}) > 1:
        names = ", ".join(known.name for known in found)
        raise InputError(f"{name}: defines several machines ({names}); put each into a file of its own")
    return found[0]


def _entry_points() -> Iterator[Known]:
    for point in entry_points(group=GROUP):
        try:
            cls = point.load()
            yield Known(point.name, cls, {}, f"entry point {point.value}")
            for name, settings in cls.variants.items():
                yield Known(name, cls, dict(settings), f"entry point {point.value}")
        except Exception as error:
            raise InputError(f"entry point {point.value}: {type(error).__name__}: {error}") from error
