"""The optimizer's own rate from the first step to the last."""

from __future__ import annotations

from dataclasses import dataclass

from siloom.workloads.torch.schedule import Schedule


@dataclass(frozen=True, kw_only=True)
class Constant(Schedule):
    """1 at every step."""

    name = "constant"
    summary = "the same rate at every step"
    endless = True

    def shape(self, step: int, steps: int) -> float:
        """1."""
        return 1.0
