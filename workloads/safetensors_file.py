"""The tensors of a ``.safetensors`` file, each held to a shape that is known beforehand.

The format is the library's to read: it refuses offsets that overlap, leave gaps or lie outside the file. Here its
error becomes one line, and numbers of F32, F16 and BF16 become float32; others are refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from siloom.sim.errors import InputError, MissingPartError
from siloom.workloads.bert_forward import Reals32
from siloom.workloads.bounds import check_bytes, place
from siloom.workloads.regular_file import regular_file_size

_LONGEST_HEADER = 4 << 20
"""Bytes; a hundred layers of BERT take 200 kB."""


class Tensors:
    """The tensors of one file; ``where`` names it in messages, ``sha256`` is that of its bytes."""

    def __init__(self, where: str, sha256: str, entries: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Made by :func:`read_safetensors`."""
        self.where = where
        self.sha256 = sha256
        self._entries = dict(entries)

    def __contains__(self, name: str) -> bool:
        """Whether there is a tensor of this name."""
        return name in self._entries

    def take(self, name: str, *shape: int) -> Reals32:
        """The tensor ``name`` in float32.

        Raises:
            InputError: absent, of another shape or type, or not finite.
        """
        if name not in self._entries:
            raise InputError(f"{self.where}: has no tensor '{name}' of {_by(shape)}")
        entry = self._entries[name]
        if tuple(entry["shape"]) != shape:
            raise InputError(f"{self.where}: {name} must be {_by(shape)}, as in config.json, got {_by(entry['shape'])}")
        values = self._float32(name, entry).reshape(shape)
        if not np.isfinite(values).all():
            at = np.argwhere(~np.isfinite(values))[0].tolist()
            raise InputError(f"{self.where}: {name}{at} must be finite, got {values[tuple(at)]}")
        return values

    def _float32(self, name: str, entry: dict[str, Any]) -> Reals32:
        data = entry["data"]
        if entry["dtype"] == "F32":
            return np.frombuffer(data, "<f4").astype(np.float32, copy=False)
        if entry["dtype"] == "F16":
            return np.frombuffer(data, "<f2").astype(np.float32)
        if entry["dtype"] == "BF16":  # the upper half of a float32
            return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
        raise InputError(f"{self.where}: {name} must hold F32, F16 or BF16 numbers, got {place(str(entry['dtype']))}")


def _by(shape: Iterable[int]) -> str:
    return (" x ".join(map(str, shape)) or "one number")[:60]


def read_safetensors(path: Path) -> Tensors:
    """All tensors of a file, read at once.

    Raises:
        MissingPartError: the library is not installed.
        InputError: absent, malformed, or larger than the memory budget.
    """
    try:
        from safetensors import SafetensorError, deserialize
    except ImportError:
        raise MissingPartError("reading a checkpoint needs safetensors: pip install 'siloom[minilm]'") from None

    where = place(path)
    size = regular_file_size(path)
    check_bytes(where, 3 * size, "its tensors")  # the file, the tensors cut from it, and those of 2 bytes again as 4
    try:
        with path.open("rb") as stream:
            start = stream.read(8)
            header = int.from_bytes(start, "little")
            if len(start) == 8 and header > _LONGEST_HEADER:
                raise InputError(f"{where}: header must be at most {_LONGEST_HEADER} bytes, declared as {header}")
            content = start + stream.read(size)
    except OSError as error:
        raise InputError(f"{where}: cannot be read: {error.strerror}") from None
    try:
        entries = deserialize(content)
    except SafetensorError as error:
        said = " ".join(str(error).split())[:160]
        raise InputError(f"{where}: is not a sound .safetensors file ({place(said)})") from None
    return Tensors(where, hashlib.sha256(content).hexdigest(), entries)
