"""A rate that falls along half a cosine, after a rise."""

from __future__ import annotations

import math
from dataclasses import dataclass

from siloom.sim.design import parameter
from siloom.workloads.torch.named import CHOICE
from siloom.workloads.torch.schedule import Schedule, ramp, step_count


@dataclass(frozen=True, kw_only=True)
class Cosine(Schedule):
    """Up over ``warmup`` steps, then down to the share ``floor`` behind the last step."""

    name = "cosine"
    summary = "rises over the first steps, then falls along a cosine"

    warmup: int = step_count(0)
    floor: float = parameter(0.0, unit="", source=CHOICE, status="assumed", low=0.0, high=1.0)

    def shape(self, step: int, steps: int) -> float:
        """Between ``floor`` and 1 behind the rise."""
        if step < self.warmup:
            return ramp(step, self.warmup)
        done = (step - self.warmup) / max(1, steps - self.warmup)
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * min(1.0, done))) / 2
