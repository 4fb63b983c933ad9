"""Optimizers by text, ``adamw:lr=0.003``: torch's own, else those of the package ``pytorch_optimizer``.

One file of ``optimizers/`` adds some. Of that package only optimizers under free licences are named here.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

import torch

from siloom.sim.choices import choices, chosen
from siloom.sim.design import parameter
from siloom.sim.errors import MissingPartError
from siloom.workloads.torch.named import CHOICE, Choice

_PACKAGE = "siloom.workloads.torch.optimizers"


def rate(default: float) -> Any:
    """The field of a learning rate."""
    return parameter(default, unit="", source=CHOICE, status="assumed", low=0.0, high=1e3)


def share(default: float, source: str = CHOICE) -> Any:
    """The field of a number between 0 and 1."""
    return parameter(default, unit="", source=source, status="assumed", low=0.0, high=1.0)


def decay(default: float, source: str = CHOICE) -> Any:
    """The field of how much a running mean keeps at each step: below 1, at which it would never move."""
    return parameter(default, unit="", source=source, status="recalled", low=0.0, high=1 - 1e-9)


@dataclass(frozen=True, kw_only=True)
class Optimizer(Choice, ABC):
    """One rule by which weights follow gradients."""

    gradients: ClassVar[int] = 1
    """Gradients that a step takes; behind the first, ``step`` computes them itself by the closure it is given."""

    lr: float = rate(0.01)

    @abstractmethod
    def make(self, weights: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer of these weights.

        Raises:
            MissingPartError: the package that has it is not installed.
        """


def package(name: str) -> ModuleType:
    """The package of optimizers that torch does not have; ``name`` is the optimizer's, for the message.

    Raises:
        MissingPartError: it is not installed.
    """
    try:
        return importlib.import_module("pytorch_optimizer")
    except ImportError:
        raise MissingPartError(f"{name}: needs pytorch-optimizer: pip install 'siloom[train]'") from None


def optimizer(text: str) -> Optimizer:
    """The optimizer that a text names.

    Raises:
        UsageError: an unknown name or field.
        InputError: a value that its field refuses.
    """
    return chosen(Optimizer, _PACKAGE, text, "optimizer")  # type: ignore[type-abstract]


def optimizers() -> dict[str, type[Optimizer]]:
    """Every optimizer by its name."""
    return choices(Optimizer, _PACKAGE)  # type: ignore[type-abstract]
