"""A model for a moment as it is when it is judged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def judged(model: nn.Module) -> Iterator[None]:
    """Within, no module trains and no gradient is kept; behind it, those train that did before."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True
