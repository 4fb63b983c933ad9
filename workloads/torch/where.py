"""Where in a training step an operation stands: in which module, forward or backward or in the optimizer.

The path of a module is known while it runs. The gradients of what it ran are computed later by autograd's nodes,
which carry a sequence number each; the number is noted with the path when a node is made. What is recomputed for
activation checkpointing runs inside of backward, but in its module, and is forward. Outside of modules, what follows a
backward pass without being differentiated, such as clipping gradients, belongs to the optimizer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, NamedTuple

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

Pass = Literal["forward", "backward", "optimizer"]
_OUTSIDE = "step"


class Place(NamedTuple):
    """A module's path (``step`` outside of all) and the pass."""

    path: str
    phase: Pass

    @property
    def label(self) -> str:
        """As ``layers.0.linear1 forward``."""
        return f"{self.path or _OUTSIDE} {self.phase}"


class Whereabouts:
    """Follows the modules of a model while :meth:`following`."""

    def __init__(self, model: nn.Module) -> None:
        self._paths = {id(module): path for path, module in model.named_modules(remove_duplicate=True)}
        self._parameters = {id(value): name.rpartition(".")[0] for name, value in model.named_parameters()}
        self._running: list[tuple[int, str]] = []
        self._of_node: dict[int, str] = {}
        self._backward_ran = False
        self.in_optimizer = False

    @contextmanager
    def following(self) -> Iterator[None]:
        """Note every module that begins and ends within."""
        with ExitStack() as hooks:
            hooks.callback(register_module_forward_pre_hook(self._begins).remove)
            # Checkpointing leaves a module by an exception when it has recomputed enough.
            hooks.callback(register_module_forward_hook(self._ends, always_call=True).remove)
            yield

    def _begins(self, module: nn.Module, inputs: Any) -> None:
        above = self._running[-1][1] if self._running else ""
        self._running.append((id(module), self._paths.get(id(module), above)))

    def _ends(self, module: nn.Module, inputs: Any, output: Any) -> None:
        while self._running and self._running.pop()[0] != id(module):
            pass

    def now(self) -> Place:
        """Where the operation that is being dispatched stands."""
        if self._running:
            path = self._running[-1][1]
            self._of_node.setdefault(self._latest_node(), path)
            return Place(path, "forward")
        node: Any = torch._C._current_autograd_node()
        if node is not None:
            self._backward_ran = True
            return Place(self._path_of(node), "backward")
        self._of_node.setdefault(self._latest_node(), "")
        after = self._backward_ran and not torch.is_grad_enabled()
        return Place("", "optimizer" if self.in_optimizer or after else "forward")

    @staticmethod
    def _latest_node() -> int:
        """The node last made: that of the operation being dispatched, where it is differentiated."""
        return int(torch.autograd._get_sequence_nr()) - 1  # type: ignore[attr-defined]

    def _path_of(self, node: Any) -> str:
        variable = getattr(node, "variable", None)
        if variable is not None:
            return self._parameters.get(id(variable), "")
        return self._of_node.get(int(node._sequence_nr()), "")
