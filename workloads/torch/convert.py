"""Put the arithmetic of a unit in the place of a model's own, in any ``nn.Module``."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

from siloom.workloads.torch.frames import Conversion, Site, converted_class
from siloom.workloads.torch.left_out import LAYERS, warn_of
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

    Dense layers, convolutions of one and two dimensions and attention are converted, as layers and as functions that
    a module calls by itself: ``torch.nn.functional``'s ``linear``, ``conv1d``, ``conv2d``,
    ``scaled_dot_product_attention`` and ``multi_head_attention_forward``. Everything else stays as it is, and where
    that holds matrix products it is named in a :class:`LeftInFp32Warning`. Modules are the copy's own, of classes that
    inherit from theirs: parameters, tied ones too, paths and hooks are the model's, and so are the keys of its state.

    A model that is converted already is converted anew. A part of a model may be converted by itself.

    Raises:
        UsageError: an unknown arithmetic or field.
        InputError: a value that its field refuses.
    """
    conversion = Conversion(Ways.of(arithmetic, backward, grad_input, grad_weight), set())
    made = copy.deepcopy(model, _computed(model))
    left: dict[str, str] = {}
    for path, module in made.named_modules():
        place = path or type(model).__name__
        if isinstance(module, torch.jit.ScriptModule):
            left[place] = "compiled by TorchScript"
            continue
        if isinstance(module, LAYERS):
            left[place] = type(module).__name__
            conversion.reported.add(place)
        module.__class__ = converted_class(type(module))  # type: ignore[arg-type]  # mypy: no Hashable
        module.siloom = Site(conversion, place)
    if left:
        warn_of(left)
    return made


def _computed(model: nn.Module) -> dict[int, torch.Tensor]:
    """Copies of tensors that modules hold but that are computed anew before each use, such as pruned weights.

    They are parts of a graph, and torch does not copy such by itself.
    """
    held = (value for module in model.modules() for value in vars(module).values() if isinstance(value, torch.Tensor))
    return {id(value): value.detach().clone() for value in held if not value.is_leaf}
