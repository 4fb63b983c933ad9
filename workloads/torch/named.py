"""What recipes, optimizers, schedules and sparsities have in common: a name, and settings that a text gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from siloom.sim.design import Design

CHOICE = "free choice of the recipe"
"""Source of settings that no paper gives."""


@dataclass(frozen=True, kw_only=True)
class Choice(Design):
    """Something that a text names, its fields being the settings."""

    name: ClassVar[str]
    summary: ClassVar[str]

    def __str__(self) -> str:
        """The name with all settings: a default that changes later does not change what was run."""
        return f"{self.name}:{self.settings_text()}" if self.as_dict() else self.name
