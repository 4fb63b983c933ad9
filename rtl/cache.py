"""Builds kept by content, in the user's cache folder: a folder is there complete or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from siloom.sim.errors import InputError
from siloom.sim.jit import cache_root

_KEEP_DAYS = 30


def kept(kind: str, made_of: Sequence[str], make: Callable[[Path], None]) -> Path:
    """The folder of this content: found, or filled by ``make`` and then renamed into its place.

    Args:
        kind: what it is, a folder above it.
        made_of: everything the content depends on; its hash is the folder's name.
        make: fills an empty folder; what it raises is raised, and nothing is kept.

    Raises:
        InputError: the cache folder cannot be written.
    """
    key = hashlib.blake2b("\0".join(made_of).encode(), digest_size=16).hexdigest()
    place = cache_root() / "rtl" / kind / key
    if not place.is_dir():
        try:
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            place.with_suffix(".lock").touch()
        except OSError as error:
            raise InputError(
                f"{place.parent}: cannot be written: {error.strerror}; SILOOM_CACHE_DIR names another folder"
            ) from None
        # Of several processes that want the same build, one works and the others wait for it.
        with _locked(place.with_suffix(".lock")):
            if not place.is_dir():
                _drop_old(place.parent)
                draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=place.parent))
                try:
                    make(draft)
                    draft.rename(place)
                finally:
                    shutil.rmtree(draft, ignore_errors=True)
    os.utime(place)
    return place


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _drop_old(root: Path) -> None:
    """Remove builds that nobody has used for a month; lock files stay, they are empty."""
    horizon = time.time() - _KEEP_DAYS * 86400
    for old in root.iterdir():
        try:
            if old.is_dir() and old.stat().st_mtime < horizon:
                shutil.rmtree(old, ignore_errors=True)
        except FileNotFoundError:
            continue  # another process was faster
