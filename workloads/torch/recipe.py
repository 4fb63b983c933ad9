"""Recipes: what is learned, by which network and from which data. One file of ``recipes/`` adds one.

A recipe is named by a text, ``digits:model=vit,epochs=25``. It reads no network: its data come with installed packages,
with Python itself, or are drawn by a published rule.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional

from siloom.sim.choices import choices, chosen
from siloom.sim.design import parameter
from siloom.workloads.torch.data import IGNORED, Data
from siloom.workloads.torch.named import CHOICE, Choice

_PACKAGE = "siloom.workloads.torch.recipes"


@dataclass(frozen=True, kw_only=True)
class Recipe(Choice, ABC):
    """What every recipe has; the defaults of a recipe's own fields are those that reach its target in fp32.

    ``accumulate`` batches make one step. With ``remat`` the activations inside a network's blocks are not kept for
    the backward pass but computed again.
    """

    schedule: ClassVar[str] = "constant"
    """Text of the schedule that is taken where none is named."""
    judged: ClassVar[bool] = True
    """Whether accuracy, the share of right answers, says something here."""

    batch: int = parameter(32, unit="examples", source=CHOICE, status="assumed", low=1, high=65536)
    accumulate: int = parameter(1, unit="batches", source=CHOICE, status="assumed", low=1, high=4096)
    remat: bool = parameter(False, unit="", source=CHOICE, status="assumed")
    validations: int = parameter(10, unit="", source=CHOICE, status="assumed", low=1, high=10_000)

    @property
    @abstractmethod
    def optimizer(self) -> str:
        """Text of the optimizer that is taken where none is named."""

    @abstractmethod
    def data(self) -> Data:
        """The examples; the same for every seed of a run.

        Raises:
            MissingPartError: the package that carries them is not installed.
        """

    @abstractmethod
    def network(self, data: Data) -> nn.Module:
        """The network before training, drawn from torch's generator."""

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Mean cross entropy in nats over the places that are asked."""
        return functional.cross_entropy(outputs.flatten(0, -2), targets.flatten(), ignore_index=IGNORED)

    def example_losses(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Cross entropy in nats of each example, added up over its places that are asked: (examples,)."""
        each = functional.cross_entropy(
            outputs.flatten(0, -2), targets.flatten(), ignore_index=IGNORED, reduction="none"
        )
        return each.reshape(len(targets), -1).sum(1)

    @abstractmethod
    def step_count(self, data: Data) -> int:
        """Steps of a run whose number of steps nobody names, at least one."""

    def steps_of_epochs(self, data: Data, epochs: int) -> int:
        """Steps that take all examples so many times, at least one."""
        return max(1, epochs * (len(data.train) // self.batch) // self.accumulate)


def epoch_count(default: int) -> Any:
    """The field of how many times all examples are learned from."""
    return parameter(default, unit="", source=CHOICE, status="assumed", low=1, high=100_000)


def recipe(text: str) -> Recipe:
    """The recipe that a text names.

    Raises:
        UsageError: an unknown name or field.
        InputError: a value that its field refuses.
    """
    return chosen(Recipe, _PACKAGE, text, "recipe")  # type: ignore[type-abstract]


def recipes() -> dict[str, type[Recipe]]:
    """Every recipe by its name."""
    return choices(Recipe, _PACKAGE)  # type: ignore[type-abstract]
