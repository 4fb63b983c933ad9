"""Looking at a path before opening it."""

from __future__ import annotations

import stat
from pathlib import Path

from siloom.sim.errors import InputError
from siloom.workloads.bounds import place


def regular_file_size(path: Path) -> int:
    """Size in bytes of a regular, non-empty file.

    Raises:
        InputError: absent, a directory, a device or pipe, empty, or not to be looked at.
    """
    where = place(path)
    try:
        found = path.stat()
    except FileNotFoundError:
        raise InputError(f"{where}: no such file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{where}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if stat.S_ISDIR(found.st_mode):
        raise InputError(f"{where}: is a directory, not a file")
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{where}: is not a regular file")
    if found.st_size == 0:
        raise InputError(f"{where}: is empty")
    return found.st_size
