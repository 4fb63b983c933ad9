"""Where results are kept that nobody gave another place."""

from __future__ import annotations

import os
from pathlib import Path

from siloom.sim.errors import InputError


def data_root() -> Path:
    """The user's data folder for Siloom: ``SILOOM_DATA_DIR``, else below ``XDG_DATA_HOME`` or ``~/.local/share``.

    Raises:
        InputError: no variable names a folder and the user has no home.
    """
    if chosen := os.environ.get("SILOOM_DATA_DIR"):
        return Path(chosen).absolute()
    base = Path(os.environ.get("XDG_DATA_HOME", ""))
    if not base.is_absolute():
        try:
            base = Path.home() / ".local" / "share"
        except RuntimeError:
            raise InputError("there is no home folder; SILOOM_DATA_DIR names another folder for results") from None
    return base / "siloom"
