"""The free dimensions of an ONNX model's inputs, and how settings give them a size.

A free dimension has a name (``batch_size``) or none. It is given by its name, by ``INPUT.AXIS``, or,
where its name says what it is, by ``batch`` or ``seq``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from siloom.sim.errors import InputError
from siloom.workloads.bounds import place

_BATCH = frozenset({"b", "n", "bs", "batch", "batchsize", "batchdim", "nbatch", "numbatch", "samples"})
_SEQ = frozenset({"s", "t", "l", "seq", "seqlen", "seqlength", "sequence", "sequencelen", "sequencelength", "tokens"})
_MAX_SIZE = 2**31 - 1


def parse_dims(owner: str, text: str) -> dict[str, int]:
    """``name:size;name:size`` as a table.

    Raises:
        InputError: another form, a size out of range, or a name given twice.
    """
    given: dict[str, int] = {}
    for part in text.split(";") if text else ():
        name, colon, size = part.rpartition(":")
        name, size = name.strip(), size.strip()
        if not colon or not name:
            raise InputError(f"{owner}: dims must have the form name:size;name:size, got '{place(part)}'")
        if not size.isascii() or not size.isdecimal() or len(size) > 10 or not 1 <= int(size) <= _MAX_SIZE:
            raise InputError(
                f"{owner}: dims: '{place(name)}' must be a whole number from 1 to {_MAX_SIZE}, got '{place(size)}'"
            )
        if name in given:
            raise InputError(f"{owner}: dims: '{place(name)}' is given twice")
        given[name] = int(size)
    return given


@dataclass
class Dims:
    """The sizes that settings give; ``batch`` and ``seq`` 0 were not given."""

    batch: int = 0
    seq: int = 0
    others: Mapping[str, int] = field(default_factory=dict)
    bound: dict[str, int] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def size(self, where: str, given_by: str, name: str, axis: int) -> int:
        """The size of a free dimension of the input ``given_by``; ``name`` is empty where it has none.

        Raises:
            InputError: nothing gives it.
        """
        by_axis = f"{given_by}.{axis}"
        plain = re.sub(r"[^a-z0-9]", "", name.lower())
        key = by_axis if by_axis in self.others else name
        if key in self.others:
            self.used.add(key)
            found = self.others[key]
        elif name in self.bound:
            found = self.bound[name]
        elif plain in _BATCH or (not name and axis == 0):
            self.used.add("batch")
            found = self.batch or 1
        elif plain in _SEQ and self.seq:
            self.used.add("seq")
            found = self.seq
        else:
            raise InputError(self._missing(where, given_by, name, axis, seq=plain in _SEQ))
        shown = name or by_axis
        if self.bound.setdefault(shown, found) != found:
            raise InputError(f"{where}: dimension '{place(shown)}' is given as {self.bound[shown]} and as {found}")
        return found

    def _missing(self, where: str, given_by: str, name: str, axis: int, *, seq: bool) -> str:
        what = f"dimension '{place(name)}'" if name else "a dimension"
        how = "seq=SIZE" if seq else f"dims={place(name or f'{given_by}.{axis}')}:SIZE"
        return f"{where}: {what} of input '{place(given_by)}' (axis {axis}) is free: give {how}"

    def check_used(self, where: str, inputs: str) -> None:
        """Refuse a size that nothing took.

        Raises:
            InputError: naming the setting and the inputs there are.
        """
        given = [*(["batch"] if self.batch else []), *(["seq"] if self.seq else []), *self.others]
        for name in given:
            if name not in self.used:
                raise InputError(f"{where}: no free dimension takes '{place(name)}'; the inputs are {inputs}")


def bind_inputs(where: str, inputs: Any, dims: Dims) -> None:
    """Give every free dimension of the graph's inputs its size, in place.

    Raises:
        InputError: one that nothing gives, one below 0, an input without a shape, or a setting too many.
    """
    shown = []
    for value in inputs:
        if not value.type.HasField("tensor_type"):
            raise InputError(f"{where}: input '{place(value.name)}' must be a tensor")
        if not value.type.tensor_type.HasField("shape"):
            raise InputError(f"{where}: input '{place(value.name)}' has no shape")
        axes = value.type.tensor_type.shape.dim
        shown.append(f"{value.name}[{', '.join(_shown(dim) for dim in axes)}]")
        for axis, dim in enumerate(axes):
            if not dim.HasField("dim_value"):
                dim.dim_value = dims.size(where, value.name, dim.dim_param, axis)
            elif dim.dim_value < 0:
                rule = f"must be at least 0, got {dim.dim_value}"
                raise InputError(f"{where}: axis {axis} of input '{place(value.name)}' {rule}")
    dims.check_used(where, place(", ".join(shown)))


def bind_declared(value: Any, bound: Mapping[str, int]) -> None:
    """The same sizes where an inner tensor's declared shape has their names; others stay open."""
    if not value.type.HasField("tensor_type"):
        return
    for dim in value.type.tensor_type.shape.dim:
        if dim.HasField("dim_param"):
            if dim.dim_param in bound:
                dim.dim_value = bound[dim.dim_param]
            else:
                dim.Clear()


def _shown(dim: Any) -> str:
    return str(dim.dim_value) if dim.HasField("dim_value") else dim.dim_param or "?"
