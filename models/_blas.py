"""How many threads numpy's BLAS may take, set for a while and put back.

numpy has no call for it; the OpenBLAS that its wheels carry does, under a name that differs between
builds. Where none of them is found, the number is left alone and reported as unknown (0).
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

_NAMES = ("scipy_openblas_{}_num_threads64_", "openblas_{}_num_threads64_", "openblas_{}_num_threads")


@contextlib.contextmanager
def limited(threads: int) -> Iterator[int]:
    """Let BLAS take ``threads`` threads; gives the number it then has, 0 where that cannot be told."""
    found = _controls()
    if found is None:
        yield 0
        return
    get, put = found
    before = int(get())
    put(threads)
    try:
        yield int(get())
    finally:
        put(before)


def version() -> str:
    """The library behind numpy's products, as numpy was built with it."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{blas['name']} {blas['version']}"


@lru_cache(maxsize=1)
def _controls() -> tuple[Any, Any] | None:
    """The functions that get and set the thread count, from the library that numpy loaded."""
    package = Path(np.__file__).resolve().parent
    for path in sorted((*package.parent.glob("numpy.libs/*openblas*"), *package.glob(".dylibs/*openblas*"))):
        with contextlib.suppress(OSError):
            library = ctypes.CDLL(str(path))
            for name in _NAMES:
                get, put = (getattr(library, name.format(verb), None) for verb in ("get", "set"))
                if get is not None and put is not None:
                    return get, put
    return None
