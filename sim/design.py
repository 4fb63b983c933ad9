"""Designs: the choices that define one machine, as a frozen dataclass of described fields.

A field is made by :func:`parameter`, which carries its range for exploration, unit and source.
The same description checks settings from the command line, lists a machine's fields and bounds a
search space, so a number is written once.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal, Self

from siloom.sim.errors import InputError, UsageError, did_you_mean, nearest

Status = Literal["published", "recalled", "assumed", "calibrated", "fitted", "measured"]
Value = int | float | str | bool
_KEY = "siloom"


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """What is known of one design field.

    ``status`` says how far its default may be trusted: ``published`` was read in a source,
    ``recalled`` is from memory of one, ``assumed`` fills a gap of the source, ``calibrated`` and
    ``fitted`` were chosen on data that ``source`` names, ``measured`` was timed here.
    """

    unit: str
    source: str
    status: Status = "published"
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def check(self, owner: str, name: str, value: object, kind: type) -> Value:
        """Return ``value`` as ``kind``, or raise InputError naming field, rule and value."""
        where = f"{owner}: {name}"
        if self.choices:
            if value not in self.choices:
                hint = nearest(str(value), self.choices)
                raise InputError(f"{where} must be one of {', '.join(self.choices)}, got {value!r}{hint}")
            return str(value)
        if kind is bool:
            return _as_bool(where, value)
        if kind is str:
            return str(value)
        number = _as_number(where, value, kind)
        unit = f" {self.unit}" if self.unit else ""
        if self.low is not None and number < self.low:
            raise InputError(f"{where} must be at least {_exact(self.low)}{unit}, got {_exact(number)}")
        if self.high is not None and number > self.high:
            raise InputError(f"{where} must be at most {_exact(self.high)}{unit}, got {_exact(number)}")
        return number


def _as_bool(where: str, value: object) -> bool:
    words = {"0": False, "1": True, "false": False, "true": True, "off": False, "on": True}
    if isinstance(value, bool):
        return value
    if str(value).lower() in words:
        return words[str(value).lower()]
    raise InputError(f"{where} must be 0 or 1, got {value!r}")


def _exact(number: float) -> str:
    """All digits of a number of ordinary size, so that a value just past its limit differs from it."""
    return str(int(number)) if abs(number) < 1e21 and number == int(number) else repr(float(number))


def _as_number(where: str, value: object, kind: type) -> int | float:
    word = "a whole number" if kind is int else "a number"
    if isinstance(value, bool) or not isinstance(value, Real | str):
        raise InputError(f"{where} must be {word}, got {value!r}")
    if not isinstance(value, str):  # numpy's scalars too, as a sweep makes them
        value = int(value) if isinstance(value, Integral) else float(value)
    if isinstance(value, int) and abs(value) >= 2**1023:
        raise InputError(f"{where} must be {word} that a float can hold, got one of {value.bit_length()} bits")
    if isinstance(value, str) and len(value) > 40:
        raise InputError(f"{where} must be {word} of at most 40 characters, got {len(value)} characters")
    try:
        number = float(value)
        exact = int(value) if kind is int and not isinstance(value, float) else None
    except (ValueError, OverflowError):
        if kind is int and _whole(value):
            exact, number = int(float(value)), float(value)
        else:
            raise InputError(f"{where} must be {word}, got {value!r}") from None
    if not math.isfinite(number):
        raise InputError(f"{where} must be finite, got {value!r}")
    if kind is not int:
        return number
    if exact is None:
        if number != int(number):
            raise InputError(f"{where} must be a whole number, got {value!r}")
        exact = int(number)
    return exact


def _whole(value: object) -> bool:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return False
    return math.isfinite(number) and number == int(number)


def parameter(default: Any, **about: Any) -> Any:
    """A design field with its default and its :class:`Parameter` description."""
    return dataclasses.field(default=default, metadata={_KEY: Parameter(**about)})


def same_parameter(owner: type[Design], name: str) -> Any:
    """The field ``name`` of another design, default and description, as a field of this one."""
    field = next(f for f in dataclasses.fields(owner) if f.name == name)
    return dataclasses.field(default=field.default, metadata=field.metadata)


@dataclass(frozen=True)
class Design:
    """Base of all designs: checks its fields when made, and turns to and from plain values.

    Raises (when made):
        InputError: a value of the wrong type, out of its range or not among its choices.
    """

    def __post_init__(self) -> None:
        """Check every described field against its own range."""
        owner = type(self).__name__
        for name, about in self.parameters().items():
            object.__setattr__(self, name, about.check(owner, name, getattr(self, name), self._kind(name)))

    @classmethod
    def parameters(cls) -> dict[str, Parameter]:
        """Field name -> description, in the order of declaration."""
        return {f.name: f.metadata[_KEY] for f in dataclasses.fields(cls) if _KEY in f.metadata}

    @classmethod
    def _kind(cls, name: str) -> type:
        field = next(f for f in dataclasses.fields(cls) if f.name == name)
        return type(field.default)

    def with_settings(self, owner: str, settings: Mapping[str, object]) -> Self:
        """A copy with ``settings`` applied; texts are read as the field's own type.

        Raises:
            UsageError: a name that is not a field (with the nearest one).
            InputError: a value that the field's rule refuses.
        """
        known = self.parameters()
        changes: dict[str, Value] = {}
        for name, value in settings.items():
            if name not in known:
                raise UsageError(f"{owner}: no field '{name}'{did_you_mean(name, known)}")
            changes[name] = known[name].check(owner, name, value, self._kind(name))
        return dataclasses.replace(self, **changes)

    def as_dict(self) -> dict[str, Value]:
        """Field name -> value, plain numbers and texts only."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    def settings_text(self) -> str:
        """All fields as the settings that give this design again: ``rows=4,cols=8``."""
        return ",".join(f"{name}={value}" for name, value in self.as_dict().items())

    def content_hash(self) -> str:
        """Hash of the class name and all values (16 hex digits)."""
        text = json.dumps([type(self).__name__, self.as_dict()], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
