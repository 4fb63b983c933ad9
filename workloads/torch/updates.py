"""What an optimizer's step moves, from its parameters and state rather than from how torch happens to run it.

torch updates parameters one by one, in lists or in one fused call; the first two move every intermediate result
through memory. Here a step is one pass over each parameter that changed: it reads the parameter, its gradient and
its state, and writes the parameter and the state that changed. State of one number, such as a count of steps, stays
in a register. AdamW comes to 28 bytes a parameter of float32. State that the first step makes is counted as read, as
in all later steps.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.optim import Optimizer
from torch.utils._pytree import tree_leaves

from siloom.sim.ops import Elementwise
from siloom.workloads.optimizer import RULES
from siloom.workloads.torch.calls import Call, bytes_of, format_of, memory_of
from siloom.workloads.torch.lower_elements import elementwise


class Step:
    """One call of ``optimizer.step``: made before it, asked after it."""

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        # Memories, not tensors: torch copies what somebody else holds, and would dispatch more. Parameters and state
        # outlive the step, so that no other tensor takes the place of one of theirs.
        self._written: set[int] = set()
        self._flops = 0

    def see(self, call: Call, flops: int) -> None:
        """Take note of what was dispatched meanwhile: what it writes, and its operations."""
        self._written |= {memory_of(tensor) for tensor in call.written}
        self._flops += flops

    def updates(self, names: dict[int, str]) -> list[Elementwise]:
        """One operation for each parameter that changed; ``names`` by the parameters' identities."""
        changed = [p for p in _parameters(self._optimizer) if self._changed(p)]
        elements = sum(p.numel() for p in changed)
        return [self._update(p, names.get(id(p), "parameter"), elements) for p in changed if p.numel()]

    def resident_bytes(self) -> int:
        """Bytes of all state."""
        return sum(bytes_of(_large(state)) for state in self._optimizer.state.values())

    def _changed(self, tensor: torch.Tensor) -> bool:
        return memory_of(tensor) in self._written

    def _update(self, parameter: torch.Tensor, name: str, elements: int) -> Elementwise:
        state = _large(self._optimizer.state.get(parameter, {}))
        gradient = [] if parameter.grad is None else [parameter.grad]
        rule = _rule(self._optimizer)
        flops = RULES[rule].flops_each if rule in RULES else round(self._flops / elements)
        return elementwise(
            f"{name} optimizer",
            rule,
            format_of(parameter),
            read_bytes=bytes_of([parameter, *gradient, *state]),
            write_bytes=bytes_of([parameter, *(t for t in state if self._changed(t))]),
            flops=flops * parameter.numel(),
            outputs=parameter.numel(),
        )


def _parameters(optimizer: Optimizer) -> list[torch.Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _large(state: Any) -> list[torch.Tensor]:
    """Tensors of more than one number."""
    return [leaf for leaf in tree_leaves(dict(state)) if isinstance(leaf, torch.Tensor) and leaf.numel() > 1]


def _rule(optimizer: Optimizer) -> str:
    """Its name; SGD that keeps momentum is another rule than SGD that does not."""
    name = type(optimizer).__name__.lower()
    if name == "sgd" and any(group.get("momentum") for group in optimizer.param_groups):
        return "nesterov" if any(group.get("nesterov") for group in optimizer.param_groups) else "momentum"
    return name
