"""The one decorator for compiled kernels, and where their machine code is kept.

numba's on-disk cache looks at the file of the decorated function only: when a kernel in another
file that it inlines changes, the caller's stale code would still be loaded. So the cache folder
carries a hash of *all* kernel sources; any change to any of them starts a fresh folder. Kernels live
in ``sim/engine`` and ``sim/units`` only; one decorated anywhere else (a user's own machine) is
compiled anew in each process, because nobody watches the files that it calls.

A cache that cannot be made, read or written costs time, never a run.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numba
from numba.core import config as numba_config
from numba.core.caching import FunctionCache

P = ParamSpec("P")
R = TypeVar("R")

_SIM = Path(__file__).resolve().parent
_KERNEL_FOLDERS = (_SIM / "engine", _SIM / "units")
_OURS = re.compile(r"[0-9a-f]{16}")
_KEEP_DAYS = 30


def kernel_sources() -> list[Path]:
    """Every file whose code may be compiled into a kernel, in a fixed order.

    Plain-Python references hold no kernels, and an edit of one recompiles nothing.
    """
    found = (path for folder in _KERNEL_FOLDERS for path in folder.rglob("*.py"))
    return sorted(path for path in found if not path.stem.endswith("_reference"))


@lru_cache(maxsize=1)
def source_hash() -> str:
    """Hash of all kernel sources, this file's options and the compiler's version (16 hex digits)."""
    digest = hashlib.blake2b(numba.__version__.encode(), digest_size=8)
    for path in (Path(__file__).resolve(), *kernel_sources()):
        text = path.read_bytes()
        digest.update(f"\n{path.relative_to(_SIM).as_posix()} {len(text)}\n".encode())
        digest.update(text)
    return digest.hexdigest()


def cache_root() -> Path:
    """The folder above all kernel caches: ``SILOOM_CACHE_DIR``, else the user's cache folder.

    Raises:
        RuntimeError: no variable names a folder and the user has no home.
    """
    if chosen := os.environ.get("SILOOM_CACHE_DIR"):
        return Path(chosen).absolute()
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "siloom"


@lru_cache(maxsize=1)
def cache_dir() -> Path | None:
    """The folder that holds the machine code of exactly these kernel sources, made if need be.

    None where it cannot be written: a full or read-only disk, a home that is not there.
    """
    try:
        root = cache_root() / "kernels"
        chosen = root / source_hash()
        if not chosen.exists():
            _drop_old(root)
            # What lies here is run as machine code: nobody else may write it.
            chosen.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=chosen):
            os.utime(chosen)  # in use: a month from now it is not yet old
    except (OSError, RuntimeError):
        return None
    return chosen


def _drop_old(root: Path) -> None:
    """Remove caches of earlier sources that nobody has used for a month; leave all else alone."""
    horizon = time.time() - _KEEP_DAYS * 86400
    with suppress(OSError):
        for old in root.iterdir():
            if _OURS.fullmatch(old.name) and not old.is_symlink() and old.stat().st_mtime < horizon:
                shutil.rmtree(old, ignore_errors=True)


class _KernelCache(FunctionCache):
    """numba's cache of one function, made forgiving: what cannot be used is compiled again."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Machine code for the argument types ``sig``, or None."""
        try:
            found = super().load_overload(sig, target_context)
        except Exception:  # a file cut short raises whatever its bytes happen to mean
            try:
                self.flush()
            except OSError:
                self.disable()
            return None
        # Two processes that first compile different types at the same time give both one file name.
        return found if found is None or tuple(found.signature.args) == tuple(sig) else None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep machine code, if the disk takes it."""
        with suppress(OSError):
            super().save_overload(sig, data)


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile ``function`` with numba, without object mode, fast maths or the GIL, cached on disk."""
    compiled = numba.njit(error_model="numpy", nogil=True)(function)
    folder = cache_dir() if _is_kernel_source(function) else None
    if folder is not None and not numba_config.DISABLE_JIT:
        _keep_in(folder, compiled)
    return cast("Callable[P, R]", compiled)


def inline_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """As :func:`kernel`, for small callees: LLVM inlines them and they get no cache file."""
    return cast("Callable[P, R]", numba.njit(error_model="numpy", forceinline=True)(function))


def _is_kernel_source(function: Callable[..., Any]) -> bool:
    source = Path(function.__code__.co_filename).resolve()
    return any(source.is_relative_to(folder) for folder in _KERNEL_FOLDERS)


def _keep_in(folder: Path, compiled: Any) -> None:
    """Give a compiled function its cache below ``folder``, or none."""
    # numba reads the folder when the cache is made; the user's own setting is put back at once.
    before = numba_config.CACHE_DIR
    numba_config.CACHE_DIR = str(folder)
    try:
        cache = _KernelCache(compiled.py_func)
    except (OSError, RuntimeError):
        return
    finally:
        numba_config.CACHE_DIR = before
    # Where numba could not use ours it falls back on folders that carry no hash.
    if Path(cache.cache_path).is_relative_to(folder):
        compiled._cache = cache
