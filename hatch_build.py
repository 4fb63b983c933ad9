"""Build hook: gives the wheel the source folders that a checkout reaches through links.

A checkout imports ``siloom.sim`` through the link ``siloom/sim -> ../sim``. Links do not survive in
an archive, so the sdist leaves them out and holds the folders at the top, and a wheel gets each
folder by name as a real ``siloom/<part>``. An editable install must get no copy: it would go stale
and hide the checkout. It needs the links, and so makes any that an unpacked sdist lacks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PartsHook(BuildHookInterface[Any]):
    """Maps each folder listed under ``parts`` into the package."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds ``version``: "standard" or "editable"."""
        parts: list[str] = self.config["parts"]
        if version == "standard":
            build_data["force_include"].update({part: f"siloom/{part}" for part in parts})
            return
        for part in parts:
            link = Path(self.root, "siloom", part)
            if not link.exists():
                link.symlink_to(Path("..", part), target_is_directory=True)
