"""Ctrl-C for commands that have something to keep: they are asked to end, and given a moment to do so."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

GRACE_S = 1.7
"""What a command may take to keep what it has: an interrupt is answered within two seconds."""

_requested = threading.Event()
_listening = threading.Event()


def requested() -> bool:
    """Whether the user has asked for the end."""
    return _requested.is_set()


def request() -> bool:
    """Ask whoever listens to end; False where nobody does."""
    _requested.set()
    return _listening.is_set()


@contextmanager
def listening() -> Iterator[None]:
    """A block that looks at :func:`requested` several times a second."""
    _listening.set()
    try:
        yield
    finally:
        _listening.clear()
