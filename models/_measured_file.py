"""Files of measured machines: what ``siloom measure`` writes and every command reads as a MACHINE.

A file names the model whose form it takes (``base``), the design fields that were read from the
device or fitted on it (``settings``), how well the model then meets what was measured (``fit``), and
the measurements themselves. It is checked strictly by pydantic, the settings by the design's own
fields.
"""

from __future__ import annotations

import json
import stat
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from siloom.sim.errors import InputError, did_you_mean

_MAX_BYTES = 1 << 20
_LONGEST_LINE = 4096
_Text = Field(max_length=400)
_Share = Field(ge=0, le=1e6)


class Fit(BaseModel):
    """How the model meets one kind of measurement, as |model / measured - 1|.

    ``fields`` are those that were fitted on these measurements, often none.
    """

    model_config = ConfigDict(strict=True, extra="forbid")

    samples: int = Field(ge=1, le=100_000)
    fields: list[str] = Field(max_length=20)
    error_mean: FiniteFloat = _Share
    error_max: FiniteFloat = _Share
    error_mean_held_out: FiniteFloat | None = Field(default=None, ge=0, le=1e6)


class Measurement(BaseModel):
    """One operation, timed: the median of ``repeats`` runs, and what the fitted model says."""

    model_config = ConfigDict(strict=True, extra="forbid")

    operation: str = _Text
    seconds: FiniteFloat = Field(gt=0)
    fastest_s: FiniteFloat = Field(gt=0)
    slowest_s: FiniteFloat = Field(gt=0)
    repeats: int = Field(ge=1)
    modelled_s: FiniteFloat = Field(gt=0)


class MeasuredFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(strict=True, extra="forbid")

    siloom_measured: Literal[1]
    base: str = Field(min_length=1, max_length=100)
    device: str = _Text
    date: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    settings: dict[str, str | int | FiniteFloat] = Field(min_length=1, max_length=100)
    conditions: dict[str, str | int | FiniteFloat] = Field(default_factory=dict, max_length=100)
    fit: dict[str, Fit] = Field(min_length=1, max_length=20)
    measurement: list[Measurement] = Field(min_length=1, max_length=10_000)


def read(path: Path) -> MeasuredFile:
    """Read a file of a measured machine.

    Raises:
        InputError: absent, not a regular file, too large, not TOML, an unknown key, or a value of the
            wrong type or out of range.
    """
    text = _text(path)
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, ValueError) as error:
        raise InputError(f"{path}: is not TOML: {' '.join(str(error).split())[:200]}") from None
    except RecursionError:
        raise InputError(f"{path}: is not TOML that can be read: nested too deeply") from None
    if "siloom_measured" not in document:
        raise InputError(
            f"{path}: is no measured machine: no key 'siloom_measured'; 'siloom measure' writes such files"
        )
    try:
        return MeasuredFile.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])[:100]
    if first["type"] == "extra_forbidden":
        parts: dict[str, type[BaseModel]] = {"measurement": Measurement, "fit": Fit}
        model = parts.get(str(first["loc"][0]), MeasuredFile)
        raise InputError(f"{path}: no key '{where}'{did_you_mean(str(first['loc'][-1]), model.model_fields)}")
    got = "" if first["type"] == "missing" else f", got {first['input']!r:.60}"
    raise InputError(f"{path}: {where}: {first['msg']}{got}")


def _text(path: Path) -> str:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"{path}: is not a regular file")
        if found.st_size > _MAX_BYTES:
            raise InputError(f"{path}: must be at most {_MAX_BYTES} bytes, got {found.st_size}")
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"{path}: cannot be read: {reason}") from None
    # Parsing time grows with the square of a key's length.
    for number, line in enumerate(text.split("\n"), start=1):
        if len(line) > _LONGEST_LINE:
            raise InputError(f"{path}: line {number}: must be at most {_LONGEST_LINE} characters, got {len(line)}")
    return text


def to_toml(content: MeasuredFile) -> str:
    """The file's text."""
    top = {key: getattr(content, key) for key in ("siloom_measured", "base", "device", "date")}
    lines = ["# Written by siloom measure; names a machine in every command.", *_pairs(top)]
    for table in ("settings", "conditions"):
        lines += ["", f"[{table}]", *_pairs(getattr(content, table))]
    for kind, fit in content.fit.items():
        lines += ["", f"[fit.{_value(kind)}]", *_pairs(fit.model_dump(exclude_none=True))]
    for measurement in content.measurement:
        lines += ["", "[[measurement]]", *_pairs(measurement.model_dump())]
    return "\n".join(lines) + "\n"


def _pairs(values: dict[str, Any]) -> list[str]:
    return [f"{key} = {_value(value)}" for key, value in values.items()]


def _value(value: Any) -> str:
    """A TOML value: its strings are JSON's, its floats Python's."""
    if isinstance(value, str):
        return json.dumps("".join(c if c.isprintable() else " " for c in value), ensure_ascii=False)
    if isinstance(value, list):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    return repr(value)
