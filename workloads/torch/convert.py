"""Put the arithmetic of a unit in the place of a model's own, in any ``nn.Module``."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn

from siloom.workloads.torch.linear import SiloomLinear
from siloom.workloads.torch.ways import Way, Ways

Model = TypeVar("Model", bound=nn.Module)


def convert(
    model: Model,
    arithmetic: Way,
    backward: Way | None = None,
    *,
    grad_input: Way | None = None,
    grad_weight: Way | None = None,
) -> Model:
    """A copy of ``model`` whose products go through ``arithmetic``, forward and backward.

    Raises:
        UsageError: an unknown arithmetic or field.
        InputError: a value that its field refuses.
    """
    ways = Ways.of(arithmetic, backward, grad_input, grad_weight)
    made = copy.deepcopy(model)
    for path, layer in list(made.named_modules()):
        if type(layer) is nn.Linear:
            parent, _, name = path.rpartition(".")
            setattr(made.get_submodule(parent), name, SiloomLinear(layer, ways, path))
    return made
