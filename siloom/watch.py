"""Signs of life on stderr for anything that takes longer than two seconds."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PATIENCE_S = 2.0


class Watch:
    """Says what is going on once it has gone on for a while: a spinner on a terminal, else one line."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._text = ""
        self._status: Any = None
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()

    def __call__(self, text: str) -> None:
        """Begin the next step."""
        with self._lock:
            self._text = text
            if self._status is not None:
                self._status.update(_plain(text))
        if self._timer is None:
            self._start()

    def _start(self) -> None:
        if self._quiet:
            return
        self._timer = threading.Timer(PATIENCE_S, self._show)
        self._timer.daemon = True
        self._timer.start()

    def _show(self) -> None:
        if not sys.stderr.isatty():
            print(f"siloom: {self._text} ...", file=sys.stderr, flush=True)
            return
        from rich.console import Console

        with self._lock:
            self._status = Console(stderr=True).status(_plain(self._text))
            self._status.start()

    def stop(self) -> None:
        """End the signs."""
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            if self._status is not None:
                self._status.stop()
                self._status = None


def _plain(text: str) -> Any:
    """Text that rich shows as it is; square brackets in a file's name are no markup."""
    from rich.text import Text

    return Text(text)


@contextmanager
def watching(text: str, quiet: bool = False) -> Iterator[Watch]:
    """Watch a block, beginning with ``text``."""
    watch = Watch(quiet)
    watch(text)
    try:
        yield watch
    finally:
        watch.stop()
