"""``name:key=value,key=value``: the one form in which machines and workloads are named."""

from __future__ import annotations

from dataclasses import dataclass

from siloom.sim.errors import UsageError


@dataclass(frozen=True)
class Named:
    """A name with its settings as texts; their types are the owner's to check."""

    name: str
    settings: dict[str, str]

    def __str__(self) -> str:
        """The text this came from, with its settings in the order given."""
        if not self.settings:
            return self.name
        return self.name + ":" + ",".join(f"{k}={v}" for k, v in self.settings.items())


def parse_named(text: str) -> Named:
    """Split ``name:key=value,...``.

    Raises:
        UsageError: an empty name, a setting without ``=``, an empty key, or a key given twice.
    """
    name, colon, rest = text.partition(":")
    name = name.strip()
    if not name:
        raise UsageError(f"{text!r}: a name comes before the ':'")
    settings: dict[str, str] = {}
    if colon and not rest:
        raise UsageError(f"{text!r}: no setting after the ':'")
    for part in rest.split(",") if rest else []:
        key, equals, value = part.partition("=")
        key = key.strip()
        if not equals or not key or not value.strip():
            raise UsageError(f"{text!r}: setting {part!r} must have the form key=value")
        if key in settings:
            raise UsageError(f"{text!r}: setting {key!r} is given twice")
        settings[key] = value.strip()
    return Named(name, settings)
