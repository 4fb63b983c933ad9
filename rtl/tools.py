"""Running the outside tools: found or named with what to install, never through a shell, never for ever."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from siloom.sim.errors import MissingPartError

INSTALL = "pip install 'siloom[rtl]'"
INSTALL_COMPILER = "apt-get install g++"
TIMEOUT_S = 300.0


def require(*modules: str, install: str = INSTALL) -> None:
    """Raise MissingPartError, with the install line, unless these packages can be imported."""
    for name in modules:
        if find_spec(name) is None:
            raise MissingPartError(f"the package '{name}' is not installed; install it with: {install}")


def program(name: str, install: str = INSTALL) -> str:
    """The path of a program that a Python package brings: beside this Python, else on PATH.

    Raises:
        MissingPartError: it is in neither.
    """
    places = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
    found = shutil.which(name, path=places)
    if found is None:
        raise MissingPartError(f"the program '{name}' was not found; install it with: {install}")
    return found


def compiler() -> str:
    """The C++ compiler: ``CXX`` of the environment, else the first of c++, g++, clang++.

    Raises:
        MissingPartError: there is none.
    """
    for name in (os.environ.get("CXX", ""), "c++", "g++", "clang++"):
        if name and (found := shutil.which(name)):
            return found
    raise MissingPartError(f"no C++ compiler was found; install one with: {INSTALL_COMPILER}")


def run(
    argv: Sequence[str],
    *,
    folder: Path,
    install: str = INSTALL,
    env: Mapping[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> str:
    """Run a tool in ``folder`` and return what it printed, both streams together.

    Raises:
        MissingPartError: it could not be started, took too long, or ended with an error.
    """
    tool = " ".join(Path(a).name for a in argv[:3]) if argv[1:2] == ["-m"] else Path(argv[0]).name
    try:
        # A session of its own: compilers have children, which must not outlive them.
        process = subprocess.Popen(
            list(argv),
            cwd=folder,
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise MissingPartError(f"{tool} cannot be started: {error.strerror}; reinstall it with: {install}") from None
    with process:
        try:
            said, _ = process.communicate(timeout=timeout_s)
        except BaseException as error:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise MissingPartError(f"{tool} did not end within {timeout_s:g} s; choose a smaller design") from None
    if process.returncode != 0:
        raise MissingPartError(
            f"{tool} ended with exit code {process.returncode}: {telling_line(said)}; reinstall it with: {install}"
        )
    return said


def telling_line(text: str) -> str:
    """The first line that speaks of an error, or the cause behind a program's own trace, else the last one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for word in ("wasm trap:", "error"):
        for line in lines:
            if word in line.lower():
                return line[:200]
    return (lines[-1] if lines else "it printed nothing")[:200]


@contextmanager
def workspace() -> Iterator[Path]:
    """A folder of our own (mode 0700) that is gone afterwards."""
    with TemporaryDirectory(prefix="siloom-rtl-") as name:
        yield Path(name)
