"""Tools that come as WebAssembly: translated for this computer at their first start, then kept by themselves."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from siloom.rtl.cache import kept
from siloom.rtl.tools import program, run, workspace


@lru_cache(maxsize=16)
def prepare(tool: str, install: str) -> None:
    """Let a tool translate itself once for this user, while others that want it wait.

    It takes Yosys half a minute, and the file that it writes must not be read half-written.

    Raises:
        MissingPartError: the tool is not there or does not start; with ``install``, how to get it.
    """

    def make(folder: Path) -> None:
        with workspace() as elsewhere:
            said = run([program(tool, install), "--version"], folder=elsewhere, install=install)
        (folder / "version.txt").write_text(said, encoding="utf-8")

    kept("prepared", [tool, version(tool)], make)
