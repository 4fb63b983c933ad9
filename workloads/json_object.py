"""JSON texts and files that hold one object, bounded and checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from siloom.sim.errors import InputError
from siloom.workloads.bounds import place
from siloom.workloads.regular_file import regular_file_size

_MAX_BYTES = 4 << 20


def read_json_object(path: Path, largest: int = _MAX_BYTES) -> dict[str, Any]:
    """The object of a file of at most ``largest`` bytes.

    Raises:
        InputError: absent, too large, not JSON, a key given twice, or something else than an object.
    """
    where = place(path)
    size = regular_file_size(path)
    if size > largest:
        raise InputError(f"{where}: must be at most {largest} bytes, got {size}")
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InputError(f"{where}: cannot be read: {error.strerror}") from None
    return json_object(where, text)


def json_object(where: str, text: bytes) -> dict[str, Any]:
    """The object that ``text`` is.

    Raises:
        InputError: not JSON, a key given twice, or something else than an object.
    """
    try:
        document = json.loads(text.decode("utf-8-sig"), object_pairs_hook=_once)
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: must be UTF-8 text, got byte {error.start} of another kind") from None
    except _TwiceError as error:
        raise InputError(f"{where}: key {place(str(error))} is given twice") from None
    except ValueError as error:  # of a number too long, Python's advice to the programmer is left out
        raise InputError(f"{where}: is not JSON: {' '.join(str(error).partition(';')[0].split())[:200]}") from None
    except RecursionError:
        raise InputError(f"{where}: is not JSON that can be read: nested too deeply") from None
    if not isinstance(document, dict):
        raise InputError(f"{where}: must hold one JSON object, got {type(document).__name__}")
    return document


class _TwiceError(ValueError):
    """A key of an object that is there twice."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in pairs:
        if key in out:
            raise _TwiceError(repr(key[:60]))
        out[key] = value
    return out
