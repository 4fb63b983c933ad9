"""What commands share: the JSON option and document, and files that are checked before any work is done for them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from siloom.sim.errors import InputError, UsageError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


def print_json(document: Any) -> None:
    """One JSON document on stdout; NaN is none."""
    print(json.dumps(document, sort_keys=True, allow_nan=False))


def suffix(path: Path, allowed: tuple[str, ...]) -> str:
    """The one of ``allowed`` that the file's name ends in.

    Raises:
        UsageError: it ends in none.
    """
    for known in allowed:
        if path.name.endswith(known):
            return known
    raise UsageError(f"{path}: the file's name must end in {' or '.join(allowed)}")


def writable(path: Path | None) -> None:
    """Refuse a target that could not be written before any work is done for it.

    Raises:
        InputError: the folder is absent or not writable, or the target is a folder.
    """
    if path is None:
        return
    folder = path.parent
    try:
        path.exists()
    except OSError as error:
        raise InputError(f"{str(path)[:60]}...: cannot be written: {error.strerror}") from None
    if not folder.is_dir():
        raise InputError(f"{path}: the folder {folder} does not exist")
    if path.is_dir():
        raise InputError(f"{path}: is a folder")
    if not os.access(folder, os.W_OK):
        raise InputError(f"{path}: the folder {folder} is not writable")


def drawable(path: Path | None) -> None:
    """Refuse a figure that could not be written, with its numbers beside it, before any work is done for it.

    Raises:
        UsageError: another suffix than .pdf, .svg and .png.
        InputError: see :func:`writable`.
    """
    if path is not None:
        suffix(path, (".pdf", ".svg", ".png"))
        writable(path)
        writable(path.with_suffix(".csv"))
