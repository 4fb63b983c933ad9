"""Writes a report whole or not at all, and its numbers as CSV that no spreadsheet will execute."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from siloom.reports.text import printable
from siloom.sim.errors import InputError

Cell = str | int | float | None

_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def write_whole(out: Path, content: bytes) -> Path:
    """:func:`fill_whole` with bytes that are at hand."""
    return fill_whole(out, lambda file: file.write(content))


def fill_whole(out: Path, fill: Callable[[BinaryIO], object]) -> Path:
    """Let ``fill`` write beside ``out`` and rename, so that a reader never sees half a file; returns ``out``.

    Raises:
        InputError: the folder is absent or not writable, or ``out`` is no regular file.
    """
    target = Path(os.path.realpath(out))  # a link keeps pointing at what it pointed at
    if target.exists() and not target.is_file():
        raise InputError(f"{out}: cannot be written: it is not a regular file")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        try:
            with part.open("wb") as file:
                fill(file)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror}") from None
    return out


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """CSV with a header line and line feeds; numbers in full, absent values empty.

    Texts that a spreadsheet would take for a formula get a leading apostrophe; control characters
    are replaced, so that no cell ends its line.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([_guarded(c) for c in columns])
    writer.writerows([_guarded(c) for c in row] for row in rows)
    return buffer.getvalue()


def _guarded(cell: Cell) -> Cell:
    if not isinstance(cell, str):
        return cell
    text = printable(cell)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
