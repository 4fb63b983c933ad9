"""The learning rate over training, as a factor of the optimizer's own. One file of ``schedules/`` adds one.

The linear scaling rule belongs here: with ``reference_batch=B`` the factor is multiplied by the examples of a step
over B, so that a larger batch takes larger steps (Goyal et al. 2017, arXiv 1706.02677).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from siloom.sim.choices import choices, chosen
from siloom.sim.design import parameter
from siloom.workloads.torch.named import CHOICE, Choice

_PACKAGE = "siloom.workloads.torch.schedules"
_RULE = "linear scaling rule, Goyal et al. 2017"


def step_count(default: int, source: str = CHOICE) -> Any:
    """The field of a number of steps."""
    return parameter(default, unit="steps", source=source, status="assumed", low=0, high=10**9)


@dataclass(frozen=True, kw_only=True)
class Schedule(Choice, ABC):
    """A factor for every step."""

    endless: ClassVar[bool] = False
    """Whether a step is the same whatever the number of steps that are to come."""

    reference_batch: int = parameter(0, unit="examples", source=_RULE, status="recalled", low=0, high=10**9)

    @abstractmethod
    def shape(self, step: int, steps: int) -> float:
        """Factor of step ``step`` (from 0) of ``steps``, without the scaling rule; 1 is the optimizer's own rate."""

    def factor(self, step: int, steps: int, examples: int) -> float:
        """Factor of a step that takes ``examples`` examples."""
        scale = examples / self.reference_batch if self.reference_batch else 1.0
        return scale * self.shape(step, steps)


def ramp(step: int, length: int) -> float:
    """From a little above 0 to 1 over the first ``length`` steps: the first step moves, too."""
    return min(1.0, (step + 1) / length) if length else 1.0


def schedule(text: str) -> Schedule:
    """The schedule that a text names.

    Raises:
        UsageError: an unknown name or field.
        InputError: a value that its field refuses.
    """
    return chosen(Schedule, _PACKAGE, text, "schedule")  # type: ignore[type-abstract]


def schedules() -> dict[str, type[Schedule]]:
    """Every schedule by its name."""
    return choices(Schedule, _PACKAGE)  # type: ignore[type-abstract]
