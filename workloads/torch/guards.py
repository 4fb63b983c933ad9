"""Says where numbers stopped being numbers, once they have."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from siloom.sim.errors import CheckFailedError


def check_loss(loss: torch.Tensor, model: nn.Module, inputs: torch.Tensor, step: int) -> None:
    """Stop at a loss that is NaN or infinite.

    Raises:
        CheckFailedError: with the step and the layer whose output is the first that is not finite.
    """
    if bool(torch.isfinite(loss)):
        return
    raise CheckFailedError(f"training stopped at step {step}: the loss is {loss.item()}; {_first_fault(model, inputs)}")


def check_gradients(model: nn.Module, step: int) -> None:
    """Stop before a gradient that is not finite reaches the weights.

    Raises:
        CheckFailedError: with the step and the weights that are concerned, in the order of the backward pass.
    """
    for name, weight in reversed(list(model.named_parameters())):
        if weight.grad is not None and not bool(torch.isfinite(weight.grad).all()):
            raise CheckFailedError(
                f"training stopped at step {step}: the gradient of {name} is not finite (NaN or infinite); "
                "a smaller learning rate or an arithmetic of wider range may help"
            )


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
