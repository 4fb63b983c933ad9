"""The arrays of an ``.npz`` file, their declared sizes known and bounded before one is unpacked.

Only what ``numpy.savez`` writes is taken: stored or deflated ``.npy`` members. No pickle.
"""

from __future__ import annotations

import math
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from siloom.sim.errors import InputError, SiloomError
from siloom.workloads.bounds import check_bytes, place
from siloom.workloads.regular_file import regular_file_size

_MAX_MEMBERS = 64
_SUSPECT_RATIO = 200
_SUSPECT_BYTES = 64 << 20
_MAX_TEXT = 256


@dataclass(frozen=True)
class Declared:
    """What the header of a member says of its array; ``offset`` is where its bytes begin."""

    member: zipfile.ZipInfo
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    offset: int


class Archive:
    """An open ``.npz``: ``declared`` describes its arrays, :meth:`read` unpacks one."""

    def __init__(self, where: str, file: zipfile.ZipFile, declared: dict[str, Declared]) -> None:
        """Made by :func:`open_npz`."""
        self.where = where
        self.declared = declared
        self._file = file

    def read(self, name: str) -> np.ndarray[Any, Any]:
        """The array ``name``, read-only.

        Raises:
            InputError: there is none, or its bytes are damaged.
        """
        if name not in self.declared:
            raise InputError(f"{self.where}: has no array '{name}'")
        about = self.declared[name]
        with _damage(self.where), self._file.open(about.member) as stream:
            raw = stream.read()[about.offset :]
        flat = np.frombuffer(raw, dtype=about.dtype)
        return flat.reshape(about.shape[::-1]).T if about.fortran else flat.reshape(about.shape)


@contextmanager
def open_npz(path: Path) -> Iterator[Archive]:
    """Open an ``.npz`` after holding all that it declares against its size and the memory budget.

    Raises:
        InputError: absent, not such an archive, damaged, or declaring absurd sizes.
    """
    where = place(path)
    size = regular_file_size(path)
    with _damage(where):
        archive = zipfile.ZipFile(path)
    with archive:
        members = archive.infolist()
        if len(members) > _MAX_MEMBERS:
            raise InputError(f"{where}: must hold at most {_MAX_MEMBERS} arrays, got {len(members)}")
        total = sum(m.file_size for m in members)
        if total > max(_SUSPECT_BYTES, _SUSPECT_RATIO * size):
            raise InputError(f"{where}: declares {total} bytes, more than {_SUSPECT_RATIO} times its {size}")
        # Twice: an array and what is made of it.
        check_bytes(where, 2 * total, "its arrays")
        declared: dict[str, Declared] = {}
        for member in members:
            name = member.filename.removesuffix(".npy")
            if name == member.filename or name in declared:
                raise InputError(f"{where}: must hold .npy members of distinct names, got {place(member.filename)}")
            declared[name] = _declared(where, archive, member)
        yield Archive(where, archive, declared)


def _declared(where: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Declared:
    """The header of one member, checked against the size the archive gives for it."""
    name = place(member.filename)
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or member.flag_bits & 1:
        raise InputError(f"{where}: {name}: must be stored or deflated, without a password")
    with _damage(where), archive.open(member) as stream, warnings.catch_warnings():
        # numpy warns of headers that Python 2 wrote, and reads them.
        warnings.simplefilter("ignore")
        version = npy.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise InputError(f"{where}: {name}: .npy version must be 1.0 or 2.0, got {version[0]}.{version[1]}")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(stream)
        offset = stream.tell()
    if dtype.kind not in "biufSU" or (dtype.kind in "SU" and not 0 < dtype.itemsize <= _MAX_TEXT):
        raise InputError(f"{where}: {name}: must hold real numbers, integers or booleans, got {dtype.str[:40]}")
    if not all(type(length) is int and length >= 0 for length in shape):
        raise InputError(f"{where}: {name}: lengths must be whole numbers from 0, got {str(shape)[:60]}")
    held = member.file_size - offset
    if math.prod(shape) * dtype.itemsize != held:
        raise InputError(f"{where}: {name}: declares shape {str(shape)[:60]} of {dtype.str}, but holds {held} bytes")
    return Declared(member, shape, dtype, bool(fortran), offset)


@contextmanager
def _damage(where: str) -> Iterator[None]:
    """Turn whatever zipfile, zlib and numpy raise at damaged bytes into one line.

    They raise a dozen types (BadZipFile, zlib.error, EOFError, struct.error, ValueError, ...), and
    which one differs between releases, so every Exception is taken.
    """
    try:
        yield
    except SiloomError:
        raise
    except Exception as error:
        said = re.sub(r" at 0x[0-9a-f]+", "", " ".join(str(error).split()))[:80]
        raise InputError(f"{where}: is not a sound .npz archive ({place(f'{type(error).__name__}: {said}')})") from None
