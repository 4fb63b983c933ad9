"""Says where numbers stopped being numbers, once they have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from siloom.sim.errors import CheckFailedError
from siloom.workloads.torch.products import NotFiniteError


@contextmanager
def at_step(step: int) -> Iterator[None]:
    """Stop with the number of the step where a number that is none comes up.

    Raises:
        CheckFailedError: instead of what says it without the step.
    """
    try:
        yield
    except (NotFiniteError, CheckFailedError) as error:
        raise CheckFailedError(
            f"training stopped at step {step}: {error}; a smaller learning rate, an arithmetic of wider range or "
            "--loss-scale may help"
        ) from None


def check_loss(loss: torch.Tensor, model: nn.Module, inputs: torch.Tensor) -> None:
    """Stop at a loss that is NaN or infinite.

    Raises:
        CheckFailedError: with the layer whose output is the first that is not finite.
    """
    if not bool(torch.isfinite(loss)):
        raise CheckFailedError(f"the loss is {loss.item()}; {_first_fault(model, inputs)}")


def check_gradients(model: nn.Module) -> None:
    """Stop before a gradient that is not finite reaches the weights.

    Raises:
        CheckFailedError: with the weights that are concerned, in the order of the backward pass.
    """
    for name, weight in reversed(list(model.named_parameters())):
        if weight.grad is not None and not bool(torch.isfinite(weight.grad).all()):
            raise CheckFailedError(f"the gradient of {name} is not finite (NaN or infinite)")


@torch.no_grad()
def _first_fault(model: nn.Module, inputs: torch.Tensor) -> str:
    """Repeat the forward pass, looking at what every layer without layers of its own gives."""
    found: list[str] = []

    def look(path: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            if not found and isinstance(output, torch.Tensor) and not bool(torch.isfinite(output).all()):
                found.append(path)

        return hook

    handles = [
        layer.register_forward_hook(look(path)) for path, layer in model.named_modules() if not [*layer.children()]
    ]
    try:
        model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return f"layer '{found[0]}' is the first whose output is not finite" if found else "all layers' outputs are finite"
