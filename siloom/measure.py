"""``siloom measure``: time this computer or its GPU and write a file that serves as a machine."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

from siloom.models._measured_file import MeasuredFile, to_toml
from siloom.reports.files import write_whole
from siloom.sim.errors import InputError, UsageError, did_you_mean

TARGETS = ("host", "cuda")


def check(target: str, out: Path) -> None:
    """Refuse what could only fail after the measurement.

    Raises:
        UsageError: an unknown target, or a file name that no command would take for a machine.
        InputError: a folder that is absent.
    """
    if target not in TARGETS:
        raise UsageError(f"measure: no target '{target}'{did_you_mean(target, TARGETS)}")
    if out.suffix != ".toml" or ":" in str(out):
        raise UsageError(f"{out}: the file's name must end in .toml and hold no ':'")
    if not out.parent.is_dir():
        raise InputError(f"{out}: the folder {out.parent} does not exist")


def measure(
    target: str, out: Path, *, threads: int = 1, quick: bool = False, watch: Callable[[str], None] = lambda _: None
) -> MeasuredFile:
    """Measure ``target`` and write ``out``; a run that fails leaves an old file as it was.

    Raises:
        UsageError, InputError: see :func:`check`.
        MissingPartError: ``cuda`` without a GPU or without a library that drives it.
    """
    check(target, out)
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    if target == "host":
        from siloom.models import _measure_host

        content = _measure_host.measure(watch, today, threads=threads, quick=quick)
    else:
        from siloom.models import _measure_cuda

        content = _measure_cuda.measure(watch, today, quick=quick)
    write_whole(out, to_toml(content).encode())
    return content


def rows(content: MeasuredFile) -> list[dict[str, Any]]:
    """How well the fitted model meets each kind of measurement, as a table."""
    return [
        {
            "measured": kind,
            "operations": fit.samples,
            "fitted": ", ".join(fit.fields) or "nothing",
            "mean error": f"{fit.error_mean:.1%}",
            "largest": f"{fit.error_max:.1%}",
            "held out": "-" if fit.error_mean_held_out is None else f"{fit.error_mean_held_out:.1%}",
        }
        for kind, fit in content.fit.items()
    ]
