"""A rate that rises to its own value and stays."""

from __future__ import annotations

from dataclasses import dataclass

from siloom.workloads.torch.schedule import Schedule, ramp, step_count


@dataclass(frozen=True, kw_only=True)
class Warmup(Schedule):
    """Straight up over ``warmup`` steps."""

    name = "warmup"
    summary = "rises over the first steps, then stays"
    endless = True

    warmup: int = step_count(100)

    def shape(self, step: int, steps: int) -> float:
        """At most 1."""
        return ramp(step, self.warmup)
