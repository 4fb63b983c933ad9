"""A workload written down as a list of operations, in TOML.

::

    name = "encoder layer"          # optional

    [[operation]]
    kind = "gemm"                   # any named workload: gemm, conv, attention, spmm, uniform, ...
    name = "qkv"                    # optional
    repeat = 12                     # optional
    m = 384                         # its settings, as on the command line
    n = 2304
    k = 768

    [[operation]]
    kind = "spgemm"
    a = "wiki-Vote.mtx"             # files are looked for beside the list

The frame is checked by pydantic, strictly; the settings by the fields of the named workload.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from siloom.sim.errors import InputError, UsageError, did_you_mean
from siloom.sim.ops import Item
from siloom.workloads.bounds import place
from siloom.workloads.catalogue import Generator, find_generator
from siloom.workloads.generator import FILE_UNIT, MatrixGenerator
from siloom.workloads.product import product
from siloom.workloads.toml_document import toml_document

_MAX_OPERATIONS = 10_000


class Entry(BaseModel):
    """One operation; whatever else it holds are its settings."""

    model_config = ConfigDict(strict=True, extra="allow")

    kind: str = Field(max_length=100)
    name: str = Field(default="", max_length=200)
    repeat: int = Field(default=1, ge=1, le=2**31)


class OperationList(BaseModel):
    """The whole file."""

    model_config = ConfigDict(strict=True, extra="forbid")

    name: str = Field(default="", max_length=200)
    operation: list[Entry] = Field(min_length=1, max_length=_MAX_OPERATIONS)


def read_operation_list(path: Path) -> tuple[str, tuple[Item, ...], dict[str, Any]]:
    """Name, operations and provenance of a ``.toml`` list.

    Raises:
        InputError: not TOML, an unknown key, a value of the wrong type or out of range.
    """
    where = place(path)
    entries = _validated(where, toml_document(path)[1])
    items: list[Item] = []
    abouts: list[dict[str, Any]] = []
    for number, entry in enumerate(entries.operation, start=1):
        owner = f"{where}: operation {number} ({place(entry.kind)})"
        built, about = _built(owner, path.parent, entry)
        if len(items) + len(built) > _MAX_OPERATIONS:
            raise InputError(
                f"{owner}: a list must hold at most {_MAX_OPERATIONS} operations with those of its networks, "
                f"got {len(items) + len(built)}"
            )
        for item in built:
            name = ".".join(part for part in (place(entry.name), item.op.name) if part)
            items.append(Item(replace(item.op, name=name), item.repeat * entry.repeat))
        if about:
            abouts.append({"operation": number, **about})
    return place(entries.name) or path.name, tuple(items), {"file": path.name, "operands": abouts}


def _validated(where: str, document: Mapping[str, Any]) -> OperationList:
    try:
        return OperationList.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
    at = list(first["loc"])
    if at[:1] == ["operation"] and len(at) > 1:
        place_in_list = f"operation {int(at[1]) + 1}: {'.'.join(str(part) for part in at[2:])}"
    else:
        place_in_list = ".".join(place(str(part)) for part in at)
    if first["type"] == "extra_forbidden":
        hint = did_you_mean(str(at[-1]), OperationList.model_fields)
        raise InputError(f"{where}: no key '{place_in_list}'{hint}")
    got = "" if first["type"] == "missing" else f", got {place(repr(first['input'])[:60])}"
    raise InputError(f"{where}: {place_in_list.rstrip(': ')}: {first['msg']}{got}")


def _built(owner: str, folder: Path, entry: Entry) -> tuple[tuple[Item, ...], dict[str, Any]]:
    """The operations of one entry; every fault in a file is bad input, unknown keys too."""
    try:
        chosen = find_generator(entry.kind)
        settings = _strict_settings(owner, folder, chosen, entry.model_extra or {})
        made = chosen().with_settings(owner, settings)
        if isinstance(made, MatrixGenerator):
            op, about = product(made.matrix())
            return (Item(op),), about
        return made.build()
    except (UsageError, InputError) as error:
        message = str(error)
        raise InputError(message if message.startswith(owner) else f"{owner}: {message}") from None


def _strict_settings(owner: str, folder: Path, chosen: Generator, extra: Mapping[str, object]) -> dict[str, object]:
    """Settings of TOML's own types: no texts for numbers, nothing but plain values."""
    known = chosen.parameters()
    out: dict[str, object] = {}
    for name, value in extra.items():
        if not isinstance(value, str | int | float | bool):
            raise InputError(f"{owner}: {place(name)} must be one plain value, got {type(value).__name__}")
        about = known.get(name)
        if about is not None:
            if about.choices and type(value) is int:
                value = str(value)
            textual = about.unit == FILE_UNIT or bool(about.choices)
            if isinstance(value, str) != textual:
                raise InputError(
                    f"{owner}: {name} must be {'a text' if textual else 'a number'}, got {place(repr(value)[:60])}"
                )
            if about.unit == FILE_UNIT:
                value = str(folder / str(value)) if value else ""
        out[name] = value
    return out
