"""What an ``.npz`` file holds, told apart by its arrays' names: sparse matrices, masks, attention or a trace."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from siloom.sim.errors import InputError, did_you_mean
from siloom.sim.sparse import Csr, Index
from siloom.workloads.bounds import check_bytes, check_shape, place
from siloom.workloads.npz_archive import Archive, Declared, open_npz

Content = Literal["sparse", "kept", "qkv", "trace"]
READABLE = (
    "a scipy sparse matrix (scipy.sparse.save_npz), an array 'kept' [..., rows, cols] of 0/1 masks, "
    "arrays 'q', 'k' and 'v' [..., seq, dim], or a recorded trace 'siloom_trace'"
)
_MAX_MASKS = 4096
_FORMATS = ("bsr", "coo", "csc", "csr", "dia")


@dataclass(frozen=True)
class Mask:
    """One mask of a ``kept`` array and its place in the leading axes, e.g. ``layer0.head2``."""

    label: str
    matrix: Csr


def npz_content(path: Path) -> Content:
    """Which of the readable contents the file holds; ``kept`` beside q, k and v is their mask.

    Raises:
        InputError: none of them, more than one, some of q, k and v alone, or not a sound archive.
    """
    with open_npz(path) as archive:
        names = set(archive.declared)
        where = f"{archive.where}: must hold {READABLE}, got"
        if "siloom_trace" in names:
            return "trace"
        operands = [name for name in ("q", "k", "v") if name in names]
        if {"format", "shape"} <= names:
            if operands or "kept" in names:
                others = ", ".join(operands or ["kept"])
                raise InputError(f"{where} more than one: a sparse matrix (format, shape) and {others}")
            return "sparse"
        if len(operands) == 3:
            return "qkv"
        if operands:
            raise InputError(f"{where} {' and '.join(operands)} alone")
        if "kept" in names:
            return "kept"
        got = f"arrays {', '.join(place(n)[:40] for n in sorted(names)[:8])}" if names else "no arrays"
        raise InputError(f"{where} {got}")


def read_npz_matrix(path: Path) -> tuple[Csr, dict[str, Any]]:
    """The matrix that ``scipy.sparse.save_npz`` wrote, in any of its formats.

    Raises:
        InputError: arrays that are absent, of the wrong kind or length, or indices out of range.
    """
    with open_npz(path) as archive:
        kind = _format(archive)
        rows, cols = _shape(archive)
        stored = math.prod(numbers(archive, "data").shape)
        check_shape(archive.where, rows, cols, stored)
        check_bytes(archive.where, 64 * stored + 16 * (rows + cols), f"a matrix of {stored} entries")
        if not np.isfinite(archive.read("data")).all():
            raise InputError(f"{archive.where}: data must be finite")
        found = _assembled(archive, kind, (rows, cols))
        matrix = Csr.from_scipy(found)
        if not np.isfinite(matrix.data).all():
            raise InputError(f"{archive.where}: doubled entries must have a finite sum")
        about = {"file": path.name, "format": kind, "duplicates_summed": int(found.nnz - matrix.nnz)}
        return matrix, about


def _format(archive: Archive) -> str:
    about = archive.declared["format"]
    if about.dtype.kind not in "SU" or math.prod(about.shape) != 1:
        raise InputError(f"{archive.where}: format must be one text")
    word = archive.read("format").reshape(()).item()
    kind = word.decode("latin-1") if isinstance(word, bytes) else str(word)
    if kind not in _FORMATS:
        hint = did_you_mean(kind, _FORMATS)
        raise InputError(f"{archive.where}: format must be {' or '.join(_FORMATS)}, got {kind[:40]!r}{hint}")
    return kind


def _shape(archive: Archive) -> tuple[int, int]:
    about = archive.declared["shape"]
    if about.dtype.kind not in "iu" or about.shape != (2,):
        raise InputError(f"{archive.where}: shape must be two whole numbers")
    rows, cols = (int(size) for size in archive.read("shape"))
    return rows, cols


def numbers(archive: Archive, name: str, *, axes: int | None = None, whole: bool = False) -> Declared:
    """The declaration of ``name``, after checking its kind and number of axes."""
    if name not in archive.declared:
        raise InputError(f"{archive.where}: has no array '{name}'")
    about = archive.declared[name]
    if about.dtype.kind not in ("iu" if whole else "biuf") or about.dtype.itemsize > 8:
        raise InputError(
            f"{archive.where}: {name} must hold {'whole' if whole else 'real'} numbers, got {about.dtype.str}"
        )
    if axes is not None and len(about.shape) != axes:
        raise InputError(f"{archive.where}: {name} must have {axes} axes, got {len(about.shape)}")
    return about


def _values(archive: Archive, axes: int) -> NDArray[np.float64]:
    numbers(archive, "data", axes=axes)
    return archive.read("data").astype(np.float64)


def _indices(archive: Archive, name: str, limit: int, length: int | None = None) -> Index:
    """The index array ``name``: whole numbers from 0, below ``limit``."""
    about = numbers(archive, name, axes=1, whole=True)
    if length is not None and about.shape[0] != length:
        raise InputError(f"{archive.where}: {name} must have {length} entries, got {about.shape[0]}")
    array = archive.read(name)
    if len(array):
        for value in (int(array.min()), int(array.max())):
            if not 0 <= value < limit:
                raise InputError(f"{archive.where}: {name} must be between 0 and {limit - 1}, got {value}")
    return array.astype(np.int64)


def _assembled(archive: Archive, kind: str, shape: tuple[int, int]) -> Any:
    """The scipy matrix of checked arrays."""
    import scipy.sparse as sp

    rows, cols = shape
    if kind == "coo":
        data = _values(archive, 1)
        places = (_indices(archive, "row", rows, len(data)), _indices(archive, "col", cols, len(data)))
        return sp.coo_array((data, places), shape=shape)
    if kind == "dia":
        return _diagonals(archive, shape)
    height, width = _block(archive, shape) if kind == "bsr" else (1, 1)
    data = _values(archive, 3 if kind == "bsr" else 1)
    major, minor = (cols, rows) if kind == "csc" else (rows // height, cols // width)
    stored = len(data)
    indptr = _indices(archive, "indptr", stored + 1, major + 1)
    indices = _indices(archive, "indices", minor, stored)
    if indptr[0] != 0 or indptr[-1] != stored or (np.diff(indptr) < 0).any():
        raise InputError(f"{archive.where}: indptr must rise from 0 to the {stored} entries")
    maker = {"csr": sp.csr_array, "csc": sp.csc_array, "bsr": sp.bsr_array}[kind]
    return maker((data, indices, indptr), shape=shape).tocsr()


def _block(archive: Archive, shape: tuple[int, int]) -> tuple[int, int]:
    height, width = numbers(archive, "data", axes=3).shape[1:]
    if height < 1 or width < 1 or shape[0] % height or shape[1] % width:
        raise InputError(
            f"{archive.where}: blocks must divide the {shape[0]} x {shape[1]} matrix, got {height} x {width}"
        )
    return int(height), int(width)


def _diagonals(archive: Archive, shape: tuple[int, int]) -> Any:
    import scipy.sparse as sp

    data = _values(archive, 2)
    numbers(archive, "offsets", axes=1, whole=True)
    offsets = archive.read("offsets")
    if len(offsets) != len(data) or len(np.unique(offsets)) != len(offsets):
        raise InputError(f"{archive.where}: offsets must be {len(data)} distinct numbers")
    if len(offsets) and not (-shape[0] < int(offsets.min()) and int(offsets.max()) < shape[1]):
        raise InputError(f"{archive.where}: offsets must be between {1 - shape[0]} and {shape[1] - 1}")
    return sp.dia_array((data, offsets.astype(np.int64)), shape=shape).tocsr()


def read_kept(path: Path) -> tuple[list[Mask], dict[str, Any]]:
    """The masks of ``kept`` [..., rows, cols], one sparse matrix of ones each.

    With two leading axes the labels read ``layer0.head0``, with one ``mask0``, else the indices.

    Raises:
        InputError: not 0 and 1 only, an empty axis, too many masks, fewer than two axes.
    """
    with open_npz(path) as archive:
        where = archive.where
        shape = numbers(archive, "kept").shape
        if len(shape) < 2 or min(shape) < 1:
            raise InputError(f"{where}: kept must have at least 2 axes and no empty one, got {str(shape)[:60]}")
        rows, cols = shape[-2:]
        count = math.prod(shape[:-2])
        if count > _MAX_MASKS:
            raise InputError(f"{where}: kept must hold at most {_MAX_MASKS} masks, got {count}")
        check_shape(where, rows, cols, math.prod(shape))
        # At worst every position is kept: an index and a value each, and positions while it is read.
        check_bytes(where, 32 * math.prod(shape), "its masks")
        kept = zeros_and_ones(archive, "kept")
        masks = [Mask(_label(at), _mask(kept[at])) for at in np.ndindex(*shape[:-2])]
    return masks, {"file": path.name, "format": "kept", "shape": list(shape)}


def zeros_and_ones(archive: Archive, name: str) -> np.ndarray[Any, Any]:
    """The array ``name``, whose numbers must all be 0 or 1.

    Raises:
        InputError: others, or the array is absent or damaged.
    """
    array = archive.read(name)
    # A boolean's byte may be anything in a file; as numbers they are held to the rule too.
    plain = array.view(np.uint8) if array.dtype.kind == "b" else array
    if not ((plain == 0) | (plain == 1)).all():
        raise InputError(f"{archive.where}: {name} must hold 0 and 1 only")
    return array


def _label(at: tuple[int, ...]) -> str:
    if len(at) == 2:
        return f"layer{at[0]}.head{at[1]}"
    if len(at) == 1:
        return f"mask{at[0]}"
    return ".".join(str(i) for i in at)


def _mask(kept: np.ndarray[Any, Any]) -> Csr:
    rows, cols = np.nonzero(kept)
    indptr = np.zeros(kept.shape[0] + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=kept.shape[0]), out=indptr[1:])
    return Csr((kept.shape[0], kept.shape[1]), indptr, cols.astype(np.int64), np.ones(len(cols)))
