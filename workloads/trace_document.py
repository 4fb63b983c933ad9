"""The document of a recorded trace: what may stand in it, checked by pydantic, strictly.

A trace is an ``.npz`` archive of at most five members. ``siloom_trace`` holds this document as UTF-8 JSON in bytes;
``float32``, ``float64``, ``int64`` and ``bool`` each hold, one after another, the numbers of all arrays of that type.
``arrays`` lists type and shape of every array in that order; operations name arrays by their positions in it, so
that operands of several operations, such as weights, are kept once.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from siloom.sim.errors import InputError, did_you_mean
from siloom.sim.ops import (
    SDDMM,
    Attention,
    Collective,
    Conv,
    Elementwise,
    KeyFilter,
    MatMul,
    Operation,
    Reduce,
    SpGEMM,
    SpMM,
)
from siloom.workloads.bounds import place
from siloom.workloads.json_object import json_object

Model = TypeVar("Model", bound=BaseModel)

VERSION = 1
MAX_BYTES = 64 << 20
MAX_NAME = 500
GROUPS = ("float32", "float64", "int64", "bool")
_MAX_ITEMS = 200_000
_MAX_COUNTS = 2_000
_KINDS: dict[str, type[Operation]] = {
    op.__name__.lower(): op
    for op in (MatMul, SpGEMM, SpMM, SDDMM, Attention, KeyFilter, Conv, Elementwise, Reduce, Collective)
}

_Size = Annotated[int, Field(ge=0, lt=2**62)]
_Text = Annotated[str, Field(max_length=MAX_NAME)]
_Counts = Annotated[dict[_Text, _Size], Field(max_length=_MAX_COUNTS)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class StoredArray(_Strict):
    """Type and shape of one array."""

    group: Literal["float32", "float64", "int64", "bool"]
    shape: Annotated[list[_Size], Field(min_length=1, max_length=4)]


class StoredMatrix(_Strict):
    """A sparse matrix: its shape, and which arrays are the parts of its CSR form."""

    rows: _Size
    cols: _Size
    indptr: _Size
    indices: _Size
    data: _Size


class StoredItem(_Strict):
    """One operation: plain fields, arrays and sparse matrices by field name, and the law of drawn operands."""

    kind: _Text
    repeat: Annotated[int, Field(ge=1, lt=2**62)] = 1
    fields: Annotated[dict[_Text, Any], Field(max_length=32)]
    arrays: Annotated[dict[_Text, _Size], Field(max_length=8)] = {}
    matrices: Annotated[dict[_Text, StoredMatrix], Field(max_length=4)] = {}
    law: Annotated[dict[_Text, int | float], Field(max_length=32)] | None = None


class Recording(_Strict):
    """How the trace came about: the engine, what was dispatched by name, and what of it has no operation.

    ``dispatched`` counts all operations of the engine; ``free`` those that move no elements, ``absorbed`` those that
    an optimizer's update stands for. The others are operations of the trace. ``operands`` is ``recorded``, or
    ``generated`` where shapes alone were recorded.
    """

    engine: _Text
    operands: Literal["recorded", "generated"]
    dispatched: _Counts
    free: _Counts
    absorbed: _Counts
    parameters: _Size
    resident_bytes: _Size


class TraceDocument(_Strict):
    """The whole document."""

    version: Literal[1]
    name: _Text
    items: Annotated[list[StoredItem], Field(max_length=_MAX_ITEMS)]
    arrays: Annotated[list[StoredArray], Field(max_length=8 * _MAX_ITEMS)] = []
    recording: Recording | None = None
    notes: Annotated[list[_Text], Field(max_length=1000)] = []


def _plain_fields(kind: type[Operation]) -> type[BaseModel]:
    kinds: dict[str, Any] = {"int": int, "bool": bool, "str": _Text}
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        if field.type in kinds:
            needed = field.default is dataclasses.MISSING
            fields[field.name] = (kinds[str(field.type)], ... if needed else field.default)
    return create_model(kind.__name__, __config__=ConfigDict(strict=True, extra="forbid"), **fields)


_PLAIN = {name: _plain_fields(op) for name, op in _KINDS.items()}


def plain_fields(kind: type[Operation]) -> type[BaseModel]:
    """The model of an operation's fields that are whole numbers, truths and texts."""
    return _PLAIN[kind.__name__.lower()]


def matrix_fields(kind: type[Operation]) -> tuple[str, ...]:
    """Names of an operation's sparse operands, all of them needed."""
    return tuple(field.name for field in dataclasses.fields(kind) if field.type == "Csr")


def array_fields(kind: type[Operation]) -> tuple[str, ...]:
    """Names of an operation's dense operands, none of them needed."""
    texts = {field.name: str(field.type) for field in dataclasses.fields(kind)}
    return tuple(name for name, text in texts.items() if "ndarray" in text or "Reals32" in text)


def operation_type(where: str, kind: str) -> type[Operation]:
    """The class of a kind's name.

    Raises:
        InputError: there is none.
    """
    if kind not in _KINDS:
        raise InputError(f"{where}: no kind '{place(kind)}'{did_you_mean(kind[:60], _KINDS)}")
    return _KINDS[kind]


def parse(where: str, text: bytes) -> TraceDocument:
    """The document in ``text``.

    Raises:
        InputError: not JSON, an unknown key, a value of the wrong type or out of range.
    """
    return validated(where, TraceDocument, json_object(where, text))


def validated(where: str, model: type[Model], document: object) -> Model:
    """``document`` as ``model``; the first fault is told in one line.

    Raises:
        InputError: naming field, rule and value.
    """
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
    at = ".".join(place(str(part)) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        raise InputError(f"{where}: no key '{at}'")
    got = "" if first["type"] == "missing" else f", got {place(repr(first['input'])[:60])}"
    raise InputError(f"{where}: {at}: {first['msg']}{got}".replace(": : ", ": "))
