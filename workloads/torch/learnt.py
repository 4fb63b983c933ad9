"""What a method of attention learns beside a model, kept in the module that attends.

It is part of the converted model: its parameters are trained and its states saved with it. A checkpoint of the model
as it was before is loaded without it, see :func:`model_state` for the way back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from siloom.workloads.torch.methods import Method

NAME = "siloom_attention"
"""Of the submodule."""


class Learnt(nn.Module):
    """Tensors by name; those that are parameters are trained."""

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            if isinstance(tensor, nn.Parameter):
                self.register_parameter(name, tensor)
            else:
                self.register_buffer(name, tensor)

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """All of them."""
        return {**dict(self.named_parameters()), **dict(self.named_buffers())}

    def _load_from_state_dict(
        self, state: dict[str, torch.Tensor], prefix: str, metadata: Any, strict: bool, missing: list[str], *rest: Any
    ) -> None:
        """A checkpoint of the model as it was before has none of these: they stay as they are."""
        super()._load_from_state_dict(state, prefix, metadata, strict, [], *rest)


def learnt_of(module: nn.Module, method: Method, heads: int, dim: int) -> dict[str, torch.Tensor]:
    """What ``method`` has learnt for an attention of ``module``; made where there is none yet."""
    held = module._modules.get(NAME)
    if held is None:
        first = method.learnt(heads, dim)
        if not first:
            return {}
        held = Learnt(first)
        module.add_module(NAME, held)
    assert isinstance(held, Learnt)
    return held.tensors


def learnt_from(module: nn.Module, method: Method, state: Mapping[str, torch.Tensor], prefix: str) -> None:
    """Make room in ``module`` for what a checkpoint's ``state`` says its method had learnt."""
    lead = f"{prefix}{NAME}."
    given = {key.removeprefix(lead): tensor for key, tensor in state.items() if key.startswith(lead)}
    if given and NAME not in module._modules:
        trained = {name for name, tensor in method.learnt(1, 1).items() if isinstance(tensor, nn.Parameter)}
        copies = {name: tensor.detach().clone() for name, tensor in given.items()}
        module.add_module(NAME, Learnt({n: nn.Parameter(x) if n in trained else x for n, x in copies.items()}))


def model_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """The state of a converted model, without what methods have learnt: that of the model as it was before."""
    return {key: tensor for key, tensor in model.state_dict().items() if f".{NAME}." not in f".{key}"}
