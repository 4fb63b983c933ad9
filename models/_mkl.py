"""Finds and loads Intel MKL behind ``sparse_dot_mkl``, without any variable set by the user.

pip puts MKL's libraries into the environment's own ``lib`` folder, where the dynamic linker does
not look; ``sparse_dot_mkl`` is told by ``MKL_RT``, and the threading library, which may lie in
another folder, is loaded first so that MKL finds it by name.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.metadata
import os
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from siloom.sim.errors import MissingPartError

INSTALL = "pip install 'siloom[mkl]'"
_RUNTIMES = ("libiomp5.so", "libtbb.so.12")


@lru_cache
def load() -> Any:
    """The module ``sparse_dot_mkl``, its MKL found.

    Raises:
        MissingPartError: it or MKL is not installed.
    """
    runtime = find("libmkl_rt.so*")
    if runtime is not None and "MKL_RT" not in os.environ:
        for name in _RUNTIMES:
            if (path := find(name)) is not None:
                with contextlib.suppress(OSError):
                    ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
        os.environ["MKL_RT"] = str(runtime)
    try:
        return importlib.import_module("sparse_dot_mkl")
    except (ImportError, OSError) as error:
        reason = "is not installed" if isinstance(error, ModuleNotFoundError) else "cannot load MKL's libraries"
        raise MissingPartError(f"host: library=mkl: sparse_dot_mkl {reason}: {INSTALL}") from None


def use_threads(count: int) -> int:
    """Let MKL take so many threads when this thread calls it, 0 for as many as it would; return what held before.

    Not ``mkl_set_num_threads``: that is for threads that nobody has set, and PyTorch, where it is loaded, sets them.

    Raises:
        MissingPartError: MKL is not installed.
    """
    load()
    library = importlib.import_module("sparse_dot_mkl._mkl_interface._cfunctions")._libmkl
    change = library.MKL_Set_Num_Threads_Local
    change.argtypes, change.restype = [ctypes.c_int], ctypes.c_int
    return int(change(count))


def installed() -> bool:
    """Whether MKL can be used here."""
    try:
        load()
    except MissingPartError:
        return False
    return True


def find(pattern: str) -> Path | None:
    """The first library file that matches, in the environment's folder or where a distribution put it."""
    for path in _candidates(pattern):
        if path.is_file():
            return path
    return None


def _candidates(pattern: str) -> Iterator[Path]:
    yield from sorted((Path(sys.prefix) / "lib").glob(pattern), reverse=True)
    for distribution in ("mkl", "intel-openmp", "tbb"):
        try:
            files = importlib.metadata.files(distribution) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for file in sorted(files, reverse=True):
            if file.match(pattern):
                yield Path(str(file.locate())).resolve()
