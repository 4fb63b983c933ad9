"""Sparsity of weights by text, ``rigl:density=0.1``. One file of ``sparsity/`` adds one method.

A method moves the masks of :class:`~siloom.workloads.torch.masks.Masks` before some of the steps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from siloom.sim.choices import choices, chosen
from siloom.sim.design import parameter
from siloom.workloads.torch.masks import Masks
from siloom.workloads.torch.named import CHOICE, Choice

_PACKAGE = "siloom.workloads.torch.sparsity"


def density_field(default: float) -> Any:
    """The share of weights that is kept."""
    return parameter(default, unit="", source=CHOICE, status="assumed", low=1e-4, high=1.0)


@dataclass(frozen=True, kw_only=True)
class Sparsity(Choice, ABC):
    """When which weights are kept."""

    masked: ClassVar[bool] = True
    """Whether masks are laid at all."""
    endless: ClassVar[bool] = False
    """Whether a step is the same whatever the number of steps that are to come."""

    @abstractmethod
    def update(self, masks: Masks, step: int, steps: int, gradients: Callable[[], None]) -> None:
        """Move the masks before step ``step`` (from 0) of ``steps``.

        ``gradients`` leaves the gradient of every weight, kept or not, of this step's examples in ``grad``; it costs
        a forward and a backward pass.
        """

    def lap(self, step: int, steps: int) -> tuple[int, int]:
        """Where the step lies for the schedule of the rate, which begins anew with every lap: its place and length."""
        return step, steps


def sparsity(text: str) -> Sparsity:
    """The method that a text names.

    Raises:
        UsageError: an unknown name or field.
        InputError: a value that its field refuses.
    """
    return chosen(Sparsity, _PACKAGE, text, "sparsity")  # type: ignore[type-abstract]


def sparsities() -> dict[str, type[Sparsity]]:
    """Every method by its name."""
    return choices(Sparsity, _PACKAGE)  # type: ignore[type-abstract]
