"""The one decorator for compiled kernels, and where their machine code is kept.

numba's on-disk cache looks at the file of the decorated function only: when a kernel in another
file that it inlines changes, the caller's stale code would still be loaded. So the cache folder
carries a hash of *all* kernel sources; any change to any of them starts a fresh folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

import numba
from numba.core import config as numba_config

P = ParamSpec("P")
R = TypeVar("R")

_SIM = Path(__file__).resolve().parent
_KERNEL_FOLDERS = ("engine", "units")
_KEEP_DAYS = 30


def kernel_sources() -> list[Path]:
    """Every file whose code may be compiled into a kernel, in a fixed order."""
    return sorted(p for folder in _KERNEL_FOLDERS for p in (_SIM / folder).glob("*.py"))


@lru_cache(maxsize=1)
def source_hash() -> str:
    """Hash of all kernel sources and of the compiler's version (16 hex digits)."""
    digest = hashlib.blake2b(digest_size=8)
    digest.update(numba.__version__.encode())
    for path in kernel_sources():
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def cache_root() -> Path:
    """The folder above all kernel caches: ``SILOOM_CACHE_DIR``, else the user's cache folder."""
    if chosen := os.environ.get("SILOOM_CACHE_DIR"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "siloom"


@lru_cache(maxsize=1)
def cache_dir() -> Path:
    """The folder that holds the machine code of exactly these kernel sources."""
    root = cache_root() / "kernels"
    chosen = root / source_hash()
    if not chosen.exists():
        _drop_old(root)
    return chosen


def _drop_old(root: Path) -> None:
    """Remove caches of earlier sources that nobody has used for a month."""
    horizon = time.time() - _KEEP_DAYS * 86400
    try:
        for old in root.iterdir():
            if old.is_dir() and old.stat().st_mtime < horizon:
                shutil.rmtree(old, ignore_errors=True)
    except OSError:
        return


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile ``function`` with numba, without object mode or fast maths, cached on disk."""
    return _compile(function, inline=False)


def inline_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """As :func:`kernel`, for small callees: LLVM inlines them and they get no cache file."""
    return _compile(function, inline=True)


def _compile(function: Callable[P, R], *, inline: bool) -> Callable[P, R]:
    if inline:
        return cast("Callable[P, R]", numba.njit(error_model="numpy")(function))
    # numba reads the folder when it decorates; the user's own setting is put back at once.
    before = numba_config.CACHE_DIR
    numba_config.CACHE_DIR = str(cache_dir())
    try:
        return cast("Callable[P, R]", numba.njit(cache=True, error_model="numpy")(function))
    finally:
        numba_config.CACHE_DIR = before
