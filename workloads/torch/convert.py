"""Put the arithmetic of a unit in the place of a model's own, in any ``nn.Module``."""

from __future__ import annotations

import copy
import warnings
from typing import Any, TypeVar

import torch
from torch import nn

from siloom.sim.errors import UsageError
from siloom.workloads.torch.converted import Converted, converted_class
from siloom.workloads.torch.frames import Conversion, Site, losses_of
from siloom.workloads.torch.judged import judged
from siloom.workloads.torch.learnt import NAME, Learnt, learnt_of
from siloom.workloads.torch.left_out import LAYERS, warn_of
from siloom.workloads.torch.methods import Method, method
from siloom.workloads.torch.ways import Way, Ways

Model = TypeVar("Model", bound=nn.Module)


class CautionWarning(UserWarning):
    """An arithmetic whose results are doubtful whatever is multiplied, such as a sum too narrow for one product."""


def convert(
    model: Model,
    arithmetic: Way,
    backward: Way | None = None,
    *,
    grad_input: Way | None = None,
    grad_weight: Way | None = None,
    attention: str = "exact",
    keep: float | None = None,
) -> Model:
    """A copy of ``model`` whose products go through ``arithmetic``, forward and backward.

    Dense layers, convolutions of one and two dimensions and attention are converted, as layers and as functions that
    a module calls by itself: ``torch.nn.functional``'s ``linear``, ``conv1d``, ``conv2d``,
    ``scaled_dot_product_attention`` and ``multi_head_attention_forward``. Everything else stays as it is, and where
    that holds matrix products it is named in a :class:`LeftInFp32Warning`. Modules are the copy's own, of classes that
    inherit from theirs: parameters, tied ones too, paths and hooks are the model's, and so are the keys of its state.

    Functions are replaced while a module is called, or its ``forward`` is; another method of the user's own that calls
    them by itself, from outside of any module, is not reached. Nor is a function that ``torch.utils.checkpoint``
    computes again in the backward pass, unless it is a module: its gradients would be those of float32.

    ``attention`` names the method that chooses scores, with its settings; ``keep`` is its setting of that name. What
    a method learns lies in the modules that attend: made here for multi-head layers, and at their first call for
    others, so run the model once (:func:`attended`) before an optimizer is given its parameters. A method that has a
    loss of its own needs it added: ``loss + attention_loss(model)``.

    A model that is converted already is converted anew. A part of a model may be converted by itself.

    An arithmetic that cannot be trusted with any product is told by one :class:`CautionWarning`.

    Raises:
        UsageError: an unknown arithmetic, method or field.
        InputError: a value that its field refuses.
    """
    chosen = method(attention)
    if keep is not None:
        chosen = chosen.with_settings(chosen.name, {"keep": keep})
    ways = Ways.of(arithmetic, backward, grad_input, grad_weight)
    if ways.cautions:
        warnings.warn("; ".join(ways.cautions), CautionWarning, stacklevel=2)
    return converted_copy(model, ways, chosen, depth=1)


def converted_copy(model: Model, ways: Ways, chosen: Method, depth: int = 0) -> Model:
    """As :func:`convert`, without a word about the arithmetic, which the caller tells by itself.

    The user, who is told of what is left in float32, is ``depth`` calls above the caller.
    """
    conversion = Conversion(ways, chosen, set())
    made = copy.deepcopy(model, _computed(model))
    left: dict[str, str] = {}
    for path, module in list(made.named_modules()):
        place = path or type(model).__name__
        if isinstance(module, Learnt):
            continue
        before = module.siloom.conversion.method if isinstance(module, Converted) else chosen
        if before.name != chosen.name:
            module._modules.pop(NAME, None)
        if isinstance(module, torch.jit.ScriptModule):
            left[place] = "compiled by TorchScript"
            continue
        if isinstance(module, LAYERS):
            left[place] = type(module).__name__
            conversion.reported.add(place)
        module.__class__ = converted_class(type(module))
        module.siloom = Site(conversion, place)
        if isinstance(module, nn.MultiheadAttention):
            learnt_of(module, chosen, module.num_heads, module.head_dim)
    if left:
        warn_of(left, depth=depth + 1)
    return made


def attention_loss(model: nn.Module) -> torch.Tensor:
    """What the methods of the model's last call in training add to its loss; zero where they add nothing.

    Raises:
        UsageError: a model that is not converted.
    """
    if not isinstance(model, Converted):
        raise UsageError(f"attention_loss: {type(model).__name__} is not a converted model")
    return sum(losses_of(model.siloom.conversion), torch.zeros(()))


def attended(model: Model, *inputs: Any, **named: Any) -> Model:
    """The model itself, run once without training, so that what its method learns is there."""
    with judged(model):
        model(*inputs, **named)
    return model


def _computed(model: nn.Module) -> dict[int, torch.Tensor]:
    """Copies of tensors that modules hold but that are computed anew before each use, such as pruned weights.

    They are parts of a graph, and torch does not copy such by itself.
    """
    held = (value for module in model.modules() for value in vars(module).values() if isinstance(value, torch.Tensor))
    return {id(value): value.detach().clone() for value in held if not value.is_leaf}
