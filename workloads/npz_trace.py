"""Recorded traces in ``.npz`` files: a workload with its operands, written and read without torch.

What the members hold is in :mod:`siloom.workloads.trace_document`. The content hash of a workload is the same before
and after; the same workload gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siloom.sim.drawn_attention import Clustered
from siloom.sim.errors import InputError, SiloomError
from siloom.sim.ops import Item, Operation, Workload
from siloom.sim.sparse import Csr
from siloom.workloads.bounds import check_bytes, check_shape, place
from siloom.workloads.npz_archive import Archive, open_npz
from siloom.workloads.npz_content import numbers, zeros_and_ones
from siloom.workloads.trace_document import (
    GROUPS,
    MAX_BYTES,
    VERSION,
    StoredItem,
    StoredMatrix,
    TraceDocument,
    array_fields,
    matrix_fields,
    operation_type,
    parse,
    plain_fields,
    validated,
)

Array = NDArray[Any]


class _Store:
    """The arrays of a trace in order, each distinct one once."""

    def __init__(self) -> None:
        self.arrays: list[Array] = []
        self._places: dict[tuple[str, tuple[int, ...], bytes], int] = {}

    def add(self, owner: str, array: Array) -> int:
        """The position of ``array``."""
        if array.dtype.name not in GROUPS:
            raise InputError(f"{owner}: operands must be {', '.join(GROUPS)}, got {array.dtype.name}")
        flat = np.ascontiguousarray(array)
        key = (array.dtype.name, array.shape, hashlib.blake2b(flat.data, digest_size=16).digest())
        if key not in self._places:
            self._places[key] = len(self.arrays)
            self.arrays.append(flat)
        return self._places[key]

    def members(self) -> dict[str, Array]:
        """Each type's arrays, one after another."""
        out = {}
        for group in GROUPS:
            own = [array.ravel() for array in self.arrays if array.dtype.name == group]
            if own:
                out[group] = np.concatenate(own)
        return out


def save_trace(workload: Workload, path: Path | str) -> None:
    """Write ``workload`` to ``path`` whole: a reader finds the old file or the new one.

    Of its provenance ``recording`` and ``notes`` are kept.

    Raises:
        InputError: a name that does not end in .npz, or what the document's rules refuse.
    """
    path = Path(path)
    where = place(path)
    if path.suffix != ".npz":
        raise InputError(f"{where}: the name of a trace must end in .npz")
    store = _Store()
    about = workload.provenance
    document = {
        "version": VERSION,
        "name": workload.name,
        "items": [_stored(where, item, store) for item in workload.items],
        "arrays": [{"group": array.dtype.name, "shape": list(array.shape)} for array in store.arrays],
        "notes": list(about.get("notes", ())),
    }
    if "recording" in about:
        document["recording"] = dict(about["recording"])
    text = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    parse(where, text)  # what cannot be read back is not written
    if len(text) > MAX_BYTES:
        raise InputError(f"{where}: siloom_trace must be at most {MAX_BYTES} bytes, got {len(text)}")
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            np.savez(file, allow_pickle=False, siloom_trace=np.frombuffer(text, np.uint8), **store.members())
        beside.replace(path)
    except OSError as error:
        raise InputError(f"{where}: cannot be written: {error.strerror}") from None
    finally:
        beside.unlink(missing_ok=True)


def _stored(where: str, item: Item, store: _Store) -> dict[str, Any]:
    op, kind = item.op, type(item.op)
    owner = f"{where}: {op.name or op.kind}"
    out: dict[str, Any] = {"kind": op.kind, "repeat": item.repeat}
    plain = plain_fields(kind)
    out["fields"] = validated(owner, plain, {name: getattr(op, name) for name in plain.model_fields}).model_dump()
    arrays = {name: getattr(op, name) for name in array_fields(kind)}
    out["arrays"] = {name: store.add(owner, array) for name, array in arrays.items() if array is not None}
    out["matrices"] = {name: _stored_matrix(owner, getattr(op, name), store) for name in matrix_fields(kind)}
    law = getattr(op, "law", None)
    out["law"] = law.as_dict() if law is not None else None
    return out


def _stored_matrix(owner: str, matrix: Csr, store: _Store) -> dict[str, int]:
    parts = {name: store.add(owner, getattr(matrix, name)) for name in ("indptr", "indices", "data")}
    return {"rows": matrix.shape[0], "cols": matrix.shape[1], **parts}


def read_trace(path: Path) -> Workload:
    """The workload of a trace.

    Raises:
        InputError: a member that is absent or of another type, or whatever its document's or operations' rules refuse.
    """
    with open_npz(path) as archive:
        where = archive.where
        about = numbers(archive, "siloom_trace", axes=1)
        if about.dtype != np.uint8 or about.shape[0] > MAX_BYTES:
            raise InputError(
                f"{where}: siloom_trace must be at most {MAX_BYTES} bytes, uint8, got {about.shape[0]} {about.dtype}"
            )
        if unknown := sorted(set(archive.declared) - {"siloom_trace", *GROUPS}):
            raise InputError(f"{where}: a trace has no array '{place(unknown[0])}'")
        document = parse(f"{where}: siloom_trace", archive.read("siloom_trace").tobytes())
        arrays = _arrays(archive, document)
    check_bytes(where, _used_bytes(document, arrays), "operands of all operations")
    items = tuple(
        _item(f"{where}: operation {number}", stored, arrays) for number, stored in enumerate(document.items, start=1)
    )
    about_it: dict[str, Any] = {"file": path.name, "format": "siloom_trace", "notes": list(document.notes)}
    if document.recording is not None:
        about_it["recording"] = document.recording.model_dump()
        about_it["resident_bytes"] = document.recording.resident_bytes
    return Workload(place(document.name), items, about_it)


def _arrays(archive: Archive, document: TraceDocument) -> list[Array]:
    """Views of the members' numbers in the shapes that the document gives them."""
    members: dict[str, Array] = {}
    used = dict.fromkeys(GROUPS, 0)
    for array in document.arrays:
        used[array.group] += math.prod(array.shape)
    for group, count in used.items():
        if group not in archive.declared:
            held: tuple[int, ...] = (0,)
        else:
            declared = numbers(archive, group, axes=1)
            held = declared.shape
            if declared.dtype != np.dtype(group):
                raise InputError(f"{archive.where}: {group} must hold {group}, got {declared.dtype.str}")
            members[group] = zeros_and_ones(archive, group) if group == "bool" else archive.read(group)
        if held[0] != count:
            raise InputError(f"{archive.where}: {group} must hold the {count} numbers of its arrays, got {held[0]}")
    at = dict.fromkeys(GROUPS, 0)
    out: list[Array] = []
    for array in document.arrays:
        size = math.prod(array.shape)
        flat = members[array.group][at[array.group] : at[array.group] + size] if size else np.empty(0, array.group)
        if array.group.startswith("float") and not np.isfinite(flat).all():
            raise InputError(f"{archive.where}: arrays.{len(out)} must be finite")
        out.append(flat.reshape(array.shape))
        at[array.group] += size
    return out


def _used_bytes(document: TraceDocument, arrays: list[Array]) -> int:
    """Bytes of operands as if each operation had its own: they are checked for each that uses them."""
    sizes = [array.nbytes for array in arrays]
    total = 0
    for item in document.items:
        parts = (position for m in item.matrices.values() for position in (m.indptr, m.indices, m.data))
        total += sum(sizes[at] for at in (*item.arrays.values(), *parts) if at < len(sizes))
    return total


def _item(where: str, stored: StoredItem, arrays: list[Array]) -> Item:
    kind = operation_type(where, stored.kind)
    where = f"{where} ({stored.kind})"
    plain = validated(where, plain_fields(kind), stored.fields).model_dump()
    for name in stored.arrays:
        if name not in array_fields(kind):
            raise InputError(f"{where}: has no array '{place(name)}'")
    if set(stored.matrices) != set(matrix_fields(kind)):
        wanted = " and ".join(matrix_fields(kind)) or "none"
        raise InputError(f"{where}: matrices must be {wanted}, got {place(' and '.join(stored.matrices)) or 'none'}")
    operands: dict[str, Any] = {
        name: _operand(f"{where}: {name}", position, arrays) for name, position in stored.arrays.items()
    }
    operands |= {name: _matrix(f"{where}: {name}", matrix, arrays) for name, matrix in stored.matrices.items()}
    try:
        law: dict[str, Any] = {}
        if stored.law is not None:
            if "law" not in kind.__dataclass_fields__:
                raise InputError(f"{where}: has no law")
            law["law"] = Clustered().with_settings("law", stored.law)
        made: Operation = kind(**plain, **operands, **law)
        return Item(made, stored.repeat)
    except SiloomError as error:
        message = str(error)
        raise InputError(message if message.startswith(where) else f"{where}: {message}") from None


def _operand(where: str, position: int, arrays: list[Array]) -> Array:
    if position >= len(arrays):
        raise InputError(f"{where}: must be one of the {len(arrays)} arrays, got {position}")
    return arrays[position]


def _matrix(where: str, stored: StoredMatrix, arrays: list[Array]) -> Csr:
    """A CSR matrix in canonical form: rows in order, columns rising within each."""
    parts = {name: _operand(where, getattr(stored, name), arrays) for name in ("indptr", "indices", "data")}
    indptr, indices, data = parts["indptr"], parts["indices"], parts["data"]
    for name, array, wanted in (("indptr", indptr, "int64"), ("indices", indices, "int64"), ("data", data, "float64")):
        if array.ndim != 1 or array.dtype.name != wanted:
            raise InputError(f"{where}: {name} must be one axis of {wanted}, got {array.ndim} of {array.dtype.name}")
    check_shape(where, stored.rows, stored.cols, len(indices))
    if len(indptr) != stored.rows + 1 or len(data) != len(indices):
        raise InputError(f"{where}: indptr must have {stored.rows + 1} entries, and data as many as indices")
    if indptr[0] != 0 or indptr[-1] != len(indices) or (np.diff(indptr) < 0).any():
        raise InputError(f"{where}: indptr must rise from 0 to the {len(indices)} entries")
    if len(indices):
        if not 0 <= int(indices.min()) <= int(indices.max()) < stored.cols:
            raise InputError(f"{where}: indices must be between 0 and {stored.cols - 1}")
        rises = np.diff(indices) > 0
        starts = indptr[1:-1]
        rises[starts[(starts > 0) & (starts < len(indices))] - 1] = True
        if not rises.all():
            raise InputError(f"{where}: indices must rise within a row")
    return Csr((stored.rows, stored.cols), indptr, indices, data)
