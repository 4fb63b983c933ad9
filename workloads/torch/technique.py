"""What changes how a network is trained, by text, ``lora:rank=8``. One file of ``techniques/`` adds one.

Several of them may change one run: each is asked in the order in which they were named.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from siloom.sim.choices import choices, chosen
from siloom.sim.errors import UsageError
from siloom.workloads.torch.named import Choice
from siloom.workloads.torch.recipe import Recipe

_PACKAGE = "siloom.workloads.torch.techniques"

Objective = Callable[[nn.Module, torch.Tensor, torch.Tensor], torch.Tensor]
"""From a network, inputs and targets to the loss that is learned."""


@dataclass(frozen=True, kw_only=True)
class Technique(Choice, ABC):
    """What is done otherwise in training; a technique that overrides nothing but :meth:`fit` only changes the network.

    All state lies in the network, in the optimizer and in torch's generator, which checkpoints keep.
    """

    endless: ClassVar[bool] = True
    """Whether a step is the same whatever the number of steps that are to come."""
    with_masks: ClassVar[bool] = True
    """Whether weights may be sparse, too."""

    @property
    def pool(self) -> int:
        """Examples that are looked at for each one that is learned from."""
        return 1

    @abstractmethod
    def fit(self, network: nn.Module, recipe: Recipe) -> None:
        """Change the network in place as it was drawn, before its arithmetic is put in.

        Raises:
            InputError: the network has nothing that this technique could change.
        """

    def begin(self, model: nn.Module) -> None:
        """Change the network in its arithmetic, before its optimizer is made."""

    def update(self, model: nn.Module, optimizer: torch.optim.Optimizer, step: int, steps: int) -> None:
        """Change both before step ``step`` (from 0) of ``steps``."""

    def restore(self, model: nn.Module, optimizer: torch.optim.Optimizer, step: int, steps: int) -> None:
        """Give both the tensors that they had behind ``step`` steps; a checkpoint then fills in the numbers."""

    def objective(self, plain: Objective, recipe: Recipe) -> Objective:
        """What is learned instead of ``plain``."""
        return plain


def technique(text: str) -> Technique:
    """The technique that a text names.

    Raises:
        UsageError: an unknown name or field.
        InputError: a value that its field refuses.
    """
    return chosen(Technique, _PACKAGE, text, "technique")  # type: ignore[type-abstract]


def techniques(texts: Sequence[str]) -> tuple[Technique, ...]:
    """Those that texts name, in their order.

    Raises:
        UsageError: see :func:`technique`; one that is named twice.
        InputError: see :func:`technique`.
    """
    made = tuple(technique(text) for text in texts)
    names = [one.name for one in made]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"train: technique {name} is named {names.count(name)} times; once is all it takes")
    return made


def known_techniques() -> dict[str, type[Technique]]:
    """Every technique by its name."""
    return choices(Technique, _PACKAGE)  # type: ignore[type-abstract]
